"""JSON as the standard library reads it, but strict: no key twice, no number that cannot be stored."""

import json
from typing import Any

from assay.records import BadRow
from assay.sources.base import MAX_DEPTH
from assay.sources.checking import shown


def strict(text: str) -> Any:
    """The value of a JSON text. Raises json.JSONDecodeError, RecursionError, and ValueError for what is not strict."""
    return DECODER.decode(text)


def json_object(line: int, text: bytes) -> dict[str, Any] | BadRow:
    """The object that a line of UTF-8 holds, or why it holds none."""
    try:
        value = strict(text.decode("utf-8"))
    except UnicodeDecodeError as error:
        return BadRow(line=line, reason=f"not valid UTF-8 at byte {error.start + 1} of the line", found=shown(text))
    except json.JSONDecodeError as error:
        return BadRow(line=line, reason=f"not valid JSON: {error.msg} at character {error.pos + 1}", found=shown(text))
    except RecursionError:
        return BadRow(line=line, reason=f"nested more than {MAX_DEPTH} levels deep", found=shown(text))
    except ValueError as error:
        return not_usable(line, error, text)
    return value if isinstance(value, dict) else no_object(line, text)


def not_usable(line: int, error: ValueError, text: str | bytes) -> BadRow:
    """A row whose JSON is valid and says something that cannot be used."""
    return BadRow(line=line, reason=f"not usable JSON: {str(error).partition(': value has')[0]}", found=shown(text))


def no_object(line: int, text: str | bytes) -> BadRow:
    """A row that is a number, a text or a list."""
    return BadRow(line=line, reason="expected a JSON object", found=shown(text))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, unless it says two things under one key."""
    read: dict[str, Any] = {}
    for key, value in pairs:
        if key in read:
            raise ValueError(f"key '{shown(key)}' stands twice")
        read[key] = value
    return read


def _finite(written: str) -> float:
    number = float(written)
    if number - number != 0:
        raise ValueError(f"{written[:40]} is no number that can be stored")
    return number


DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_float=_finite, parse_constant=_finite)
