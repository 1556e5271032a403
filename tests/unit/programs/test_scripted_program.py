"""The model for tests of programs: users test theirs without a run."""

from __future__ import annotations

import pytest

from assay.programs.model import Model
from assay.programs.scripted import ScriptedModel


def program(row: dict[str, str], model: Model) -> str:
    return model.ask([{"role": "user", "content": row["body"]}], max_tokens=5)


def test_a_program_is_tested_with_answers_in_order() -> None:
    """What it asked is kept."""
    model = ScriptedModel(["billing", "delivery"])
    assert [program({"body": text}, model) for text in ("Where?", "How much?")] == ["billing", "delivery"]
    assert model.asked[1] == ([{"role": "user", "content": "How much?"}], {"max_tokens": 5})
    with pytest.raises(AssertionError, match="asks 3 times"):
        program({"body": "x"}, model)


def test_tokens_are_counted_roughly() -> None:
    """Four characters each, of text and of messages."""
    answer = ScriptedModel(["x" * 8]).call("y" * 12)
    assert (answer.input_tokens, answer.output_tokens, answer.finish_reason) == (3, 2, "stop")
