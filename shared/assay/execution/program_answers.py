"""What a program may return, and the text that becomes of it. Called by `programs.py`; pure."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from assay.sources.base import MAX_CELL_CHARACTERS

DEEPEST = 100
_SHOWN_CHARACTERS = 200


class ProgramFailed(Exception):
    """The program has no answer for this row; the text says why."""


def answer_text(value: Any) -> str:
    """A text as it is, a mapping as canonical JSON: sorted keys, no spaces. Raises ProgramFailed for all else, and for
    what is longer than a cell of a dataset may be.
    """
    text = _text(value)
    if len(text) > MAX_CELL_CHARACTERS:  # an outcome goes to storage in one piece
        raise ProgramFailed(f"the program returned {len(text):,} characters; at most {MAX_CELL_CHARACTERS:,} are kept")
    return text


def _text(value: Any) -> str:
    if isinstance(value, str):
        return str(value)
    as_mapping = getattr(value, "toDict", None)  # as DSPy's predictions have it
    plain = as_mapping() if callable(as_mapping) else value
    if not isinstance(plain, Mapping):
        found = "None" if value is None else f"{_of_type(value)} {value!r}"[:_SHOWN_CHARACTERS]
        raise ProgramFailed(f"the program returned {found}; expected text or a mapping")
    problem = next(_not_json(plain, "", 0), None)
    if problem:
        raise ProgramFailed(f"the program returned a mapping that is no JSON: {problem}")
    return json.dumps(_plain(plain), ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _not_json(value: Any, place: str, depth: int) -> Iterator[str]:
    """What JSON cannot hold, with its place."""
    at = place[:_SHOWN_CHARACTERS] or "the answer"
    if depth > DEEPEST:
        yield f"{at} is nested deeper than {DEEPEST} levels"
    elif isinstance(value, Mapping | list | tuple):
        yield from _not_json_below(value, place, depth)
    elif isinstance(value, float) and value - value != 0:
        yield f"{at} is {value}, which is no number in JSON"
    elif not (value is None or isinstance(value, str | int | float)):
        yield f"{at} is of type {_of_type(value)}"


def _not_json_below(value: Mapping[Any, Any] | list[Any] | tuple[Any, ...], place: str, depth: int) -> Iterator[str]:
    if not isinstance(value, Mapping):
        for index, below in enumerate(value):
            yield from _not_json(below, f"{place}[{index}]", depth + 1)
        return
    for key, below in value.items():
        if not isinstance(key, str):
            yield f"{place or 'the answer'} has the key {key!r} of type {_of_type(key)}; expected text"
        yield from _not_json(below, f"{place}.{key}" if place else str(key), depth + 1)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(below) for key, below in value.items()}
    return [_plain(below) for below in value] if isinstance(value, list | tuple) else value


def _of_type(value: Any) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
