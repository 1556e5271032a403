"""Whether a regular expression can take exponential time: read from its text, as `re` shows no parse tree."""

from re import compile

_SIGN = compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?P<\w+>|\(\?[:=!>]|\(\?<[=!]|\(|\)|\||\*|\+|\?|\{\d*,?\d*\}|.", 16)
_FIXED = compile(r"\{\d+\}")
_BOUNDED = compile(r"\{\d*,(\d+)\}")
FEW = 3


def repeats_in_repeats(pattern: str) -> bool:
    """Whether a group that repeats more than a few times holds a repeat of its own, or alternatives.

    Without such a group the time of a search is polynomial in the text's length. Some harmless patterns are named too.
    """
    varied = [False]  # per open group: whether what it matches can vary in length
    closed: bool | None = None  # the same of the group that ended right before this sign
    for sign in _SIGN.findall(pattern):
        if sign == ")" and len(varied) > 1:
            closed = varied.pop() or bool(closed)
            continue
        if closed and _is_repeat(sign) and _is_many(sign):
            return True
        varied[-1] = varied[-1] or bool(closed) or _varies(sign)
        closed = None
        if sign.startswith("("):
            varied.append(False)
    return False


def _varies(sign: str) -> bool:
    return sign == "|" or (_is_repeat(sign) and not _FIXED.fullmatch(sign))


def _is_repeat(sign: str) -> bool:
    return sign in ("*", "+", "?") or (sign.startswith("{") and len(sign) > 1)


def _is_many(sign: str) -> bool:
    if sign == "?":
        return False
    bounded = _FIXED.fullmatch(sign) or _BOUNDED.fullmatch(sign)
    return not bounded or int(sign.strip("{}").rpartition(",")[2]) > FEW
