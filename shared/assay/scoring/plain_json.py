"""Whether what a plugin returned is JSON with finite numbers, and where it is not; reports are made of it."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from assay.scoring.base import Json

DEEPEST = 20


class NotJson(ValueError):
    """A value that JSON does not know; the text says where it is and what."""


def plain_mapping(value: Any) -> dict[str, Json]:
    """The mapping as plain JSON: NumPy's numbers and arrays become Python's, tuples lists. Raises NotJson."""
    if not isinstance(value, Mapping):
        raise NotJson(f"found {shown(value)}; expected a mapping of names to values")
    return _mapping(value, ())


def plain(value: Any, path: tuple[str, ...] = ()) -> Json:
    """A value as plain JSON. Raises NotJson."""
    value = value.tolist() if hasattr(value, "tolist") else value  # NumPy's, without its import
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | float):
        return _number(value, path)
    if len(path) > DEEPEST:
        raise NotJson(f"{_at(path)}more than {DEEPEST} levels deep")
    if isinstance(value, Mapping):
        return _mapping(value, path)
    if isinstance(value, list | tuple):
        return [plain(item, (*path, str(at))) for at, item in enumerate(value)]
    raise NotJson(f"{_at(path)}found {shown(value)}, which is not JSON")


def shown(value: Any) -> str:
    """A value as complaints name it: its type, and a short one as it reads."""
    text = repr(value)
    return f"{type(value).__name__} {text}" if len(text) <= 60 else f"{type(value).__name__} {text[:57]}..."


def _mapping(value: Mapping[Any, Any], path: tuple[str, ...]) -> dict[str, Json]:
    for key in value:
        if not isinstance(key, str):
            raise NotJson(f"{_at(path)}found the key {shown(key)}; expected text")
    return {_text(key): plain(item, (*path, key)) for key, item in value.items()}


def _text(value: str) -> str:
    """Without lone surrogates, which JSON can escape and UTF-8 cannot hold: they become question marks."""
    return value.encode("utf-8", "replace").decode()


def _number(value: int | float, path: tuple[str, ...]) -> Json:
    if not isfinite(value):
        raise NotJson(f"{_at(path)}found {value}; expected a finite number")
    return value


def _at(path: tuple[str, ...]) -> str:
    return f"at '{_text('.'.join(path))}': " if path else ""
