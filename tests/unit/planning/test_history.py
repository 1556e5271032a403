"""Conversations in a cell: what is sent, and what is refused."""

import json
from typing import Any

import pytest

from assay.llm.base import ChatMessage
from assay.planning.history import MAX_MESSAGES, conversation
from assay.planning.sandbox import MAX_CHARACTERS, TooMuch, bounded

USER, MODEL = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}


def test_messages_come_as_values_or_as_json_in_their_order():
    """JSON files hold lists, CSV files texts."""
    expected = (ChatMessage("user", "Hi"), ChatMessage("assistant", "Hello."))
    assert conversation([USER, MODEL]) == expected
    assert conversation(json.dumps([USER, MODEL])) == expected


@pytest.mark.parametrize("cell", [None, "", "  ", [], "[]"])
def test_an_empty_cell_is_a_conversation_that_has_not_begun(cell: Any):
    """The first turn has no history."""
    assert conversation(cell) == ()


def test_a_message_is_text_and_never_a_template():
    """Who writes rows must not write prompts."""
    assert conversation([{"role": "user", "content": "{{ 7 * 7 }}"}])[0].content == "{{ 7 * 7 }}"


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        ("Hi", "Expecting value"),
        ("[" * 100_000, "recursion"),
        ({"role": "user", "content": "Hi"}, "expected a list of messages, found a dict"),
        (7, "expected a list of messages, found 7"),
        (["Hi"], "message 1: expected a mapping with role and content, found 'Hi'"),
        ([USER, {"role": "user"}], "message 2: expected a mapping with role and content, found one with role"),
        ([USER | {"name": "Ann"}], "found one with role, content, name"),
        ([{"role": "system", "content": "x"}], "message 1: expected the role user or assistant, found 'system'"),
        ([{"role": ["user"], "content": "x"}], "message 1: expected the role user or assistant, found a list"),
        ([{"role": "user", "content": " "}], "message 1: expected a text as content, found ' '"),
        ([{"role": "user", "content": None}], "message 1: expected a text as content, found a NoneType"),
        ([{"role": "user", "content": "\ud800"}], "surrogates not allowed"),
        ([USER] * (MAX_MESSAGES + 1), "501 messages; at most 500 are sent"),
    ],
)
def test_what_is_no_conversation_is_told_with_the_message_and_what_was_found(cell: Any, problem: str):
    """A row's author mends it from this."""
    with pytest.raises((ValueError, RecursionError), match=problem):
        conversation(cell)


def test_its_text_counts_as_the_prompt_s():
    """A rendering has one limit, however its text comes in."""
    half = {"role": "user", "content": "x" * (MAX_CHARACTERS // 2 + 1)}
    with bounded(), pytest.raises(TooMuch):
        conversation([half, half])
