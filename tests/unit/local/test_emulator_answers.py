"""Lengths, cuts and flaws of the emulator's answers depend on the prompt, never on the limit or the order."""

import json
from statistics import median, quantiles
from typing import Any

import pytest

from assay.local.emulated_completion import REFUSAL, finish
from assay.local.emulated_filler import filler_answer
from assay.local.emulated_prompt_cache import PromptCache
from assay.local.emulator_bodies import Completion
from assay.local.emulator_deployment import Deployment, TokenCount
from assay.local.emulator_mishaps import FAULTS, Fault
from assay.local.emulator_requests import ChatRequest, count_tokens, read_chat_request

MINI = Deployment(model="m")
LONG = TokenCount(median=140, sigma=0.7)


def ask(text: str, deployment: Deployment = MINI, **parameters: Any) -> ChatRequest:
    return read_chat_request({"messages": [{"role": "user", "content": text}], **parameters}, "mini", deployment)


def finished(chat: ChatRequest, deployment: Deployment = MINI, flaw: Fault | None = None) -> Completion:
    return finish(filler_answer(chat, 3, LONG), chat, deployment, 3, flaw=flaw)


def test_answer_lengths_are_log_normal_around_their_median() -> None:
    """Median 140; five of six answers are shorter than the median times e to the sigma."""
    lengths = [finished(ask(str(n))).completion_tokens for n in range(2000)]

    assert median(lengths) == pytest.approx(140, rel=0.06)
    assert quantiles(lengths, n=100)[83] == pytest.approx(140 * 2.718281828**0.7, rel=0.1)


@pytest.mark.parametrize("kind", ["text", "json_object"])
def test_an_answer_has_exactly_the_tokens_that_were_drawn(kind: str) -> None:
    """A JSON object too, as far as its frame lets it be short."""
    wanted = {"response_format": {"type": kind}}
    texts = [
        (tokens, filler_answer(ask(f"json {tokens}", **wanted), 3, TokenCount(median=tokens)))
        for tokens in range(12, 90)
    ]

    assert [count_tokens(len(text)) for _, text in texts] == [tokens for tokens, _ in texts]
    assert kind == "text" or all(json.loads(text)["answer"] for _, text in texts)


def test_a_limit_only_cuts() -> None:
    """The answer at a lower limit is the beginning of the answer at a higher one."""
    for number in range(50):
        whole, cut = finished(ask(str(number))), finished(ask(str(number), max_tokens=40))
        assert whole.text.startswith(cut.text)
        assert (cut.finish_reason == "length") == (whole.completion_tokens > 40)
        assert cut.completion_tokens == min(40, whole.completion_tokens)


def test_a_length_has_a_most() -> None:
    """And at least one token."""
    lengths = {
        finish(filler_answer(ask(str(n)), 3, TokenCount(median=2, sigma=2, most=9)), ask(str(n)), MINI, 3)
        for n in range(200)
    }

    assert {completion.completion_tokens for completion in lengths} <= set(range(1, 10))


def test_hidden_tokens_come_out_of_the_limit() -> None:
    """What reasoning leaves is what may be said."""
    thinker = Deployment(model="o3-mini", reasoning=TokenCount(median=30))
    chat = ask("Why?", thinker, max_completion_tokens=40)

    completion = finished(chat, thinker)

    assert (completion.reasoning_tokens, completion.completion_tokens, len(completion.text)) == (30, 40, 40)


def test_flaws_of_the_text_are_what_they_say() -> None:
    """All other faults leave the answer as it is."""
    chat = ask("As json, please", response_format={"type": "json_object"})
    good = finished(chat)
    flawed = {flaw: finished(chat, flaw=flaw) for flaw in FAULTS}

    assert flawed["empty"].text == "" and flawed["empty"].completion_tokens == 0
    with pytest.raises(json.JSONDecodeError):
        json.loads(flawed["invalid_json"].text)
    assert flawed["refused"].is_refusal and flawed["refused"].text == REFUSAL
    filtered = flawed["answer_filtered"]
    assert (filtered.finish_reason, filtered.completion_tokens) == ("content_filter", good.completion_tokens)
    assert good.text.startswith(filtered.text) and filtered.text != good.text
    assert flawed["filter_error"].filter_verdict == "error"
    assert flawed["error_500"] == flawed["timeout"] == flawed["dropped"] == good


def test_a_prompt_is_cached_from_1024_tokens_on_in_steps_of_128() -> None:
    """Only the beginning counts, and only what was seen before."""
    cache = PromptCache()
    rules = "".join(f"Rule {number:04}. " for number in range(600))

    assert cache.see((rules, "first")) == 0
    assert cache.see((rules, "second")) == len(rules) // 512 * 128
    assert cache.see(("Other " + rules,)) == 0
    assert cache.see((rules[:4000],)) == 0
    assert cache.see((rules[:4600] + "x" * 2000,)) == 1024
    assert cache.see((rules[:3000] + "y" * 4000,)) == 0


def test_a_prompt_cache_forgets_the_oldest() -> None:
    """Its memory is bounded."""
    cache = PromptCache(kept_blocks=10)
    first, second = "a" * 512 * 9, "b" * 512 * 9
    cache.see((first,))
    cache.see((second,))

    assert cache.see((second,)) == 9 * 128
    assert cache.see((first,)) == 0
