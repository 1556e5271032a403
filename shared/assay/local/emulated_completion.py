"""Turns the model's text into a finished completion: cut at the token limit, filtered, refused or broken on purpose.

Called by `emulator_service` for each admitted chat request.
"""

from dataclasses import replace

from assay.local.emulated_filler import drawn_tokens
from assay.local.emulator_bodies import Completion
from assay.local.emulator_deployment import Deployment
from assay.local.emulator_mishaps import Fault
from assay.local.emulator_requests import CHARACTERS_PER_TOKEN, ChatRequest, count_tokens
from assay.reasoning import ReasoningEffort

_EFFORTS: dict[ReasoningEffort, float] = {
    "none": 0,
    "minimal": 0.1,
    "low": 0.4,
    "medium": 1,
    "high": 2.5,
    "xhigh": 5,
}
"""How much is thought, in parts of what effort medium thinks; on the service that differs by model and question."""

REFUSAL = "I'm sorry, but I can't assist with that request."


def finish(
    text: str,
    chat: ChatRequest,
    deployment: Deployment,
    seed: int,
    *,
    flaw: Fault | None = None,
    cached_tokens: int = 0,
) -> Completion:
    """The completion for a text, with what a verdict or fault makes of it; other faults change nothing here.

    The text's length is its own: a limit only cuts it, after the hidden tokens of a model that reasons.
    """
    text = _flawed(text, flaw)
    hidden = _hidden_tokens(chat, deployment, seed)
    limit = deployment.max_output_tokens if chat.max_tokens is None else chat.max_tokens
    hidden = min(hidden, limit)
    tokens, room = count_tokens(len(text)), limit - hidden
    completion = Completion(
        model=deployment.model,
        text=text[: room * CHARACTERS_PER_TOKEN],
        finish_reason="length" if tokens > room else "stop",
        prompt_tokens=chat.prompt_tokens,
        completion_tokens=hidden + min(tokens, room),
        reasoning_tokens=hidden,
        cached_tokens=cached_tokens,
        is_refusal=flaw == "refused",
    )
    if flaw == "answer_filtered":
        # What was generated is billed, whatever the filter leaves of it.
        half = completion.text[: len(completion.text) // 2]
        return replace(completion, text=half, finish_reason="content_filter", filter_verdict="violent")
    return replace(completion, filter_verdict="error") if flaw == "filter_error" else completion


def _hidden_tokens(chat: ChatRequest, deployment: Deployment, seed: int) -> int:
    if deployment.reasoning is None:
        return 0
    return round(drawn_tokens(deployment.reasoning, seed, chat.digest, "reasoning") * _EFFORTS[chat.effort])


def _flawed(text: str, flaw: Fault | None) -> str:
    if flaw == "empty":
        return ""
    if flaw == "refused":
        return REFUSAL
    # What a model says that was not told to keep to JSON: an introduction, and a bracket too few.
    return f"Sure! Here is the answer: {text[:-1]}" if flaw == "invalid_json" else text
