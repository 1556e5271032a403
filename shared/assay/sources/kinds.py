"""The types that a suite can ask of a column, each with its coercion. `shaping.py` applies them."""

import json
import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Any, Literal

Kind = Literal["text", "integer", "number", "boolean", "date", "json"]
BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
MOST_DIGITS = 4_000
_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


class NotThatKind(ValueError):
    """A value of another kind; the message says what was expected."""


def as_text(value: Any) -> str:
    """Text as it is; anything else as JSON writes it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def as_integer(value: Any) -> int:
    """A whole number. Raises NotThatKind for anything else, also for one that would have to be rounded."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    text = value.strip() if isinstance(value, str) else ""
    if _WHOLE.fullmatch(text) and len(text) <= MOST_DIGITS:
        return int(text)
    raise NotThatKind("a whole number")


def as_number(value: Any) -> int | float:
    """A number, whole where it is written so; decimals have a point, thousands no sign. Raises NotThatKind."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    text = value.strip() if isinstance(value, str) else ""
    if _WHOLE.fullmatch(text) and len(text) <= MOST_DIGITS:
        return int(text)
    number = float(text) if _NUMBER.fullmatch(text) else float("nan")
    if number - number != 0:
        raise NotThatKind("a number such as 12 or 0.5")
    return number


def as_boolean(value: Any) -> bool:
    """true and false, also written as yes, no, 1, 0, in any case. Raises NotThatKind."""
    if isinstance(value, bool):
        return value
    known = BOOLEANS.get(str(value).strip().lower()) if isinstance(value, str | int) else None
    if known is None:
        raise NotThatKind("true or false")
    return known


def as_date(value: Any) -> str:
    """A day or a moment in ISO 8601, as text. Raises NotThatKind."""
    text = value.strip() if isinstance(value, str) else ""
    try:
        return (date if len(text) == len("2026-01-31") else datetime).fromisoformat(text).isoformat()
    except ValueError:
        raise NotThatKind("a date such as 2026-01-31 or 2026-01-31T12:00:00") from None


def as_json(value: Any) -> Any:
    """What a JSON text says; lists and objects as they are. Raises NotThatKind."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError):
        raise NotThatKind("valid JSON") from None


def _finite(written: str) -> float:
    number = float(written)
    if number - number != 0:
        raise ValueError(written)
    return number


KINDS: dict[Kind, Callable[[Any], Any]] = {
    "text": as_text,
    "integer": as_integer,
    "number": as_number,
    "boolean": as_boolean,
    "date": as_date,
    "json": as_json,
}
