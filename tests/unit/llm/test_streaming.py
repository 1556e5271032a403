"""Streams as bytes come: in any pieces, with what older and other servers send."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.llm.streaming import StreamedCompletion, StreamError, chunks_in

SPOKEN = {"model": "m", "choices": [{"delta": {"content": "a\u2028b\x85c é"}, "finish_reason": None}]}
ENDED = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
COUNTED = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}


def event(content: Any, field: str = "data", ending: str = "\n\n") -> bytes:
    return f"{field}: {json.dumps(content, ensure_ascii=False)}{ending}".encode()


async def of(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def read(*pieces: bytes) -> list[dict[str, Any]]:
    return [chunk async for chunk in chunks_in(of(pieces))]


@given(st.lists(st.integers(0, 400), max_size=8))
async def test_chunks_are_the_same_wherever_the_bytes_are_divided(places: list[int]) -> None:
    """In the middle of a character too; what Unicode takes for the end of a line is part of the answer."""
    whole = event(SPOKEN) + b": a comment\n\n" + event(ENDED, ending="\r\n\r\n") + event(COUNTED) + b"data: [DONE]\n\n"
    cuts = [0, *sorted(min(place, len(whole)) for place in places), len(whole)]
    pieces = [whole[start:end] for start, end in pairwise(cuts)]
    assert await read(*pieces) == [SPOKEN, ENDED, COUNTED]


@pytest.mark.parametrize("field", ["data", "error"])
async def test_an_error_in_the_stream_is_raised(field: str) -> None:
    """As the protocol has it, and as older llama.cpp servers write it."""
    said = {"message": "boom", "code": 500}
    with pytest.raises(StreamError) as caught:
        await read(event(SPOKEN), event({"error": said} if field == "data" else said, field))
    assert caught.value.error == said


@pytest.mark.parametrize("broken", [b'data: {"choices"\n\n', b"data: []\n\n", b"data: \xff\n\n"])
async def test_what_is_no_chunk_is_refused(broken: bytes) -> None:
    """With an error that clients take for a malformed answer."""
    with pytest.raises(ValueError, match=r"."):
        await read(broken)


def completed(*chunks: dict[str, Any]) -> StreamedCompletion:
    completion = StreamedCompletion()
    for at, chunk in enumerate(chunks, 1):
        completion.add(chunk, float(at))
    return completion


def test_a_completion_is_what_would_have_come_whole() -> None:
    """With the model and the usage that some chunk told, whichever it was."""
    content = completed(SPOKEN, ENDED, COUNTED).content("chat")
    assert (content["model"], content["usage"]) == ("m", COUNTED["usage"])
    assert content["choices"][0]["message"]["content"] == "a\u2028b\x85c é"
    assert content["choices"][0]["finish_reason"] == "stop"


def test_without_a_name_the_model_is_the_deployment() -> None:
    """Some servers name none."""
    assert completed(ENDED).content("chat")["model"] == "chat"


def test_the_first_token_is_the_first_piece_of_text_or_of_thought() -> None:
    """Neither a chunk without choices nor the one that names the role."""
    role = {"choices": [{"delta": {"role": "assistant", "content": ""}}]}
    thought = {"choices": [{"delta": {"reasoning_content": "Hm."}}]}
    assert completed({"choices": []}, role, SPOKEN, SPOKEN).first_token_seconds == 3.0
    assert completed(role, thought, SPOKEN).first_token_seconds == 2.0
    assert completed(role, ENDED).first_token_seconds is None


def test_a_completion_is_whole_once_its_end_has_come() -> None:
    """Half an answer is none."""
    assert not completed(SPOKEN).is_whole
    assert completed(SPOKEN, ENDED, COUNTED).is_whole
