"""Plausible answers for prompts whose true answer nobody knows: the same content always gets the same one.

Called by the emulated model when no task matches a request.
"""

import json

from assay.local.emulated_draws import log_normal, pick, uniform
from assay.local.emulated_schema import schema_instance
from assay.local.emulator_deployment import TokenCount
from assay.local.emulator_requests import CHARACTERS_PER_TOKEN, ChatRequest

_SENTENCES = (
    "The request is clear and can be answered with the facts given.",
    "Two points matter here: the stated need, and the time it has to be met.",
    "There is not enough detail to be certain, but the first reading is the likelier one.",
    "In short: yes, with the usual exceptions.",
    "The text describes a routine case and asks for a confirmation.",
    "The main point is the change of plan; the rest is background.",
    "It depends on the order of events, which the text leaves open.",
    "The answer follows from the second paragraph and needs no further steps.",
)
_PROSE = " ".join(_SENTENCES) + " "


def filler_answer(chat: ChatRequest, seed: int, answer_tokens: TokenCount | None = None) -> str:
    """Text, or JSON when the request asks for it: a small object, or an instance of its JSON schema.

    `answer_tokens` sets the length of texts and of small objects; it never depends on the request's token limit, so a
    higher limit gives the same answer with less cut off. Without it, an answer is one sentence.
    """
    kind = chat.response_format.get("type")
    if kind == "json_schema":
        schema = chat.response_format["json_schema"].get("schema", {})
        return json.dumps(schema_instance(schema, seed, chat.digest))
    if kind != "json_object":
        return _text(chat, seed, answer_tokens, 0)
    confidence = round(uniform(seed, chat.digest, "confidence"), 2)
    frame = len(json.dumps({"answer": "", "confidence": confidence}))
    return json.dumps({"answer": _text(chat, seed, answer_tokens, frame), "confidence": confidence})


def drawn_tokens(count: TokenCount, seed: int, digest: str, purpose: str) -> int:
    """How many tokens a content gets: at least one where the median is not 0, at most the set most."""
    if count.median == 0:
        return 0
    tokens = max(1, round(log_normal(count.median, count.sigma, seed, digest, purpose)))
    return tokens if count.most is None else min(tokens, count.most)


def _text(chat: ChatRequest, seed: int, answer_tokens: TokenCount | None, frame: int) -> str:
    sentence = pick(len(_SENTENCES), seed, chat.digest, "sentence")
    if answer_tokens is None:
        return _SENTENCES[sentence]
    tokens = drawn_tokens(answer_tokens, seed, chat.digest, "length")
    characters = max(1, tokens * CHARACTERS_PER_TOKEN - frame)
    return _prose(_PROSE.index(_SENTENCES[sentence]), characters)


def _prose(start: int, characters: int) -> str:
    """So many characters of running text that ends with a full stop; at most one fewer."""
    repeats = (start + characters) // len(_PROSE) + 1
    return (_PROSE * repeats)[start : start + characters - 1].rstrip(" .").ljust(characters - 1, ".") + "."
