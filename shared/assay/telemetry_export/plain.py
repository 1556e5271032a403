"""Attributes as OpenTelemetry takes them: numbers, short texts, lists of texts."""

import itertools
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from assay.telemetry import Attributes

LONGEST_TEXT = 1_000
MOST_TEXTS = 20


def plain(attributes: Attributes) -> dict[str, Any]:
    """The attributes that are known; mappings become JSON, and long texts are cut."""
    return {name: _plain(value) for name, value in attributes.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value[:LONGEST_TEXT]
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, list | tuple):
        return [str(one)[:LONGEST_TEXT] for one in itertools.islice(value, MOST_TEXTS)]
    text = json.dumps(value, default=str) if isinstance(value, Mapping) else str(value)
    return text[:LONGEST_TEXT]
