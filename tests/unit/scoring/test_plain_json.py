"""What plugins may return: JSON with finite numbers, and a complaint that says where it is not."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.scoring.plain_json import NotJson, plain_mapping

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_what_is_json_comes_back_as_it_is(value: dict[str, Any]) -> None:
    """And can be written."""
    assert plain_mapping(value) == value
    json.dumps(plain_mapping(value), allow_nan=False)


def test_numpy_becomes_plain() -> None:
    """Its numbers and arrays are what plugins compute with."""
    found = plain_mapping(
        {"a": np.float64(0.5), "b": np.int64(3), "c": np.array([[1, 2]]), "d": np.bool_(True), "e": (1,)}
    )
    assert found == {"a": 0.5, "b": 3, "c": [[1, 2]], "d": True, "e": [1]}
    assert [type(one) for one in found.values()] == [float, int, list, bool, list]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([1], "found list [1]; expected a mapping of names to values"),
        (None, "found NoneType None; expected a mapping"),
        ({"a": float("nan")}, "at 'a': found nan; expected a finite number"),
        ({"a": {"b": [1, float("inf")]}}, "at 'a.b.1': found inf"),
        ({"a": np.array([1.0, np.nan])}, "at 'a.1': found nan"),
        ({"a": {1, 2}}, "at 'a': found set {1, 2}, which is not JSON"),
        ({"a": Decimal("0.1")}, "at 'a': found Decimal Decimal('0.1'), which is not JSON"),
        ({"a": {3: 1}}, "at 'a': found the key int 3; expected text"),
    ],
)
def test_what_is_not_json_is_told_with_its_place(value: Any, problem: str) -> None:
    """Whoever wrote the plugin sees at once which figure it is."""
    with pytest.raises(NotJson) as caught:
        plain_mapping(value)
    assert str(caught.value).startswith(problem)


def test_what_holds_itself_is_refused() -> None:
    """Nothing may recurse for ever."""
    endless: dict[str, Any] = {}
    endless["again"] = endless
    with pytest.raises(NotJson, match="more than 20 levels deep"):
        plain_mapping(endless)
