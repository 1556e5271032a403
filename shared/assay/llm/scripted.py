"""The model port's in-memory twin: answers from a script, without network and without waiting. For tests."""

from collections.abc import Callable, Iterable

from assay.llm.answers import usable
from assay.llm.base import ChatAnswer, ChatRequest, ModelError
from assay.records import Usage

Reply = str | ChatAnswer | ModelError
Script = Callable[[ChatRequest], Reply] | Iterable[Reply]


class ScriptedModel:
    """Gives the script's replies in order, or what the script says to each request; a ModelError is raised.

    `requests` holds every request in order, `closed` whether `close` was called.
    """

    def __init__(self, script: Script) -> None:
        self._reply = script if callable(script) else _in_order(script)
        self.requests: list[ChatRequest] = []
        self.closed = False

    async def complete(self, request: ChatRequest) -> ChatAnswer:
        """The script's reply to this request, judged as every adapter judges answers.

        Raises its ModelErrors, those of answers that cannot be used, and LookupError past the script's end.
        """
        self.requests.append(request)
        reply = self._reply(request)
        if isinstance(reply, ModelError):
            raise reply
        return usable(scripted_answer(reply) if isinstance(reply, str) else reply, request)

    async def close(self) -> None:
        self.closed = True


def scripted_answer(text: str) -> ChatAnswer:
    """A complete answer with this text, of ten input and five output tokens."""
    return ChatAnswer(
        text=text,
        finish_reason="stop",
        model="gpt-4o-mini-2024-07-18",
        request_id="scripted",
        usage=Usage(input_tokens=10, output_tokens=5),
        latency_seconds=0.0,
    )


def _in_order(replies: Iterable[Reply]) -> Callable[[ChatRequest], Reply]:
    waiting = list(replies)

    def reply(request: ChatRequest) -> Reply:
        if not waiting:
            raise LookupError(f"the script has no reply left for the request to '{request.deployment}'")
        return waiting.pop(0)

    return reply
