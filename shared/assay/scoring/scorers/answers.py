"""What scorers read: the judged answer or a part of it, cells of the row, labels and texts of both."""

import json
from collections.abc import Mapping
from typing import Any

from assay.records import Response


class NotInAnswer(Exception):
    """What was looked for is not in the answer; the text says what was found instead."""


class NotInRow(Exception):
    """The row does not say what is right; the text says what was found instead."""


def looked_up(criterion: str | None, path: str | None, responses: Mapping[str, Response]) -> Any:
    """The answer to a criterion (None: the first), or the part of it at `path`. Raises NotInAnswer."""
    response = responses.get(criterion) if criterion else next(iter(responses.values()), None)
    if response is None:
        raise NotInAnswer(f"no answer to criterion '{criterion or 'first'}'")
    return response.text if path is None else part_of(read_json(response.text), path, response.text)


def read_json(text: str) -> Any:
    """The value of a JSON text. Raises NotInAnswer."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise NotInAnswer(f"the answer is not JSON: {shown(text)}") from None


def part_of(found: Any, path: str, text: str) -> Any:
    """What stands at a dotted path. Raises NotInAnswer."""
    for part in path.split("."):
        if not isinstance(found, dict) or part not in found:
            raise NotInAnswer(f"the answer has no '{path}': {shown(text)}")
        found = found[part]
    return found


def label(value: Any) -> str | None:
    """A cell or a part of an answer as a label, or None when it is nothing, a list or an object."""
    if value is None or isinstance(value, list | dict):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()


def text_in_answer(value: Any) -> str:
    """A part of an answer as text. Raises NotInAnswer for nothing, lists and objects."""
    found = label(value)
    if found is None:
        raise NotInAnswer(f"expected text; found {shown(value)}")
    return found


def text_in_row(fields: Mapping[str, Any], column: str, noun: str) -> str:
    """A cell as text, never empty. Raises NotInRow; `noun` is what it should hold."""
    found = label(fields.get(column))
    if not found:
        raise NotInRow(f"column '{column}' holds no {noun}")
    return found


def shown(value: Any) -> str:
    """A value as reasons quote it, cut to 80 characters."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


def _no_constant(name: str) -> None:
    """Python reads NaN and Infinity, JSON does not know them, and no score can be made of them."""
    raise ValueError(f"{name} is not JSON")
