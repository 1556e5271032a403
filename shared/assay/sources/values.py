"""Values of typed sources (Parquet, Excel, SQL) as JSON can keep them. Their readers use it."""

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID


def plain(value: Any) -> Any:
    """The value as text, number, true, false, nothing, list or object; dates and times in ISO 8601.

    Bytes are read as UTF-8; those that are none become lone surrogates, which `checking.py` refuses. A decimal that no
    floating-point number shows exactly stays text. Raises ValueError for a number that cannot be stored.
    """
    if value is None or isinstance(value, str | bool | int):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, float):
        return _finite(value)
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return _rarer(value)


def _rarer(value: Any) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "surrogateescape")
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in value]
    if isinstance(value, UUID | timedelta):
        return str(value)
    raise ValueError(f"a value of type {type(value).__name__}, which has no JSON form")


def _finite(value: float) -> float:
    if value - value != 0:
        raise ValueError(f"{value}, which is no number that can be stored")
    return value


def _number(value: Decimal) -> int | float | str:
    if not value.is_finite():
        raise ValueError(f"{value}, which is no number that can be stored")
    exponent = value.as_tuple().exponent
    if exponent == 0 and len(value.as_tuple().digits) <= 100:
        return int(value)
    number = float(value)
    return number if Decimal(repr(number)) == value else str(value)
