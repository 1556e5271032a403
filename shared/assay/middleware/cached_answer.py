"""One entry of the response cache: its key, its blob, and how a blob is told from a spoilt one.

Called by `cache.py` for every question and by `cache_upkeep.py`. Pure.
"""

import json
from dataclasses import asdict, fields
from hashlib import sha256
from typing import Any, Literal

from pydantic import AwareDatetime, ValidationError

from assay.llm.base import ChatAnswer, ChatMessage, ChatRequest
from assay.middleware.base import Question, Reply
from assay.records import Record, Usage

FORMAT: Literal[1] = 1
_SHAPING = tuple(field.name for field in fields(ChatRequest) if not field.name.endswith("timeout_seconds"))


class CorruptEntry(Exception):
    """A blob that is not the entry it should be; the message says why, without quoting it."""


class CachedAnswer(Record):
    """An answer as it was given the first time. `deployment` is the one that gave it."""

    v: Literal[1] = FORMAT
    key: str
    stored_at: AwareDatetime
    deployment: str
    text: str
    finish_reason: str
    model: str
    request_id: str | None
    usage: Usage
    latency_seconds: float
    first_token_seconds: float | None = None

    @classmethod
    def of(cls, key: str, reply: Reply, stored_at: AwareDatetime) -> "CachedAnswer":
        """The entry that keeps a reply."""
        answer = reply.answer
        return cls(
            key=key,
            stored_at=stored_at,
            deployment=reply.deployment,
            text=answer.text,
            finish_reason=answer.finish_reason,
            model=answer.model,
            request_id=answer.request_id,
            usage=answer.usage,
            latency_seconds=answer.latency_seconds,
            first_token_seconds=answer.first_token_seconds,
        )

    def reply(self) -> Reply:
        """The reply that cost nothing now; usage and latency are those of the first time."""
        answer = ChatAnswer(
            text=self.text,
            finish_reason=self.finish_reason,
            model=self.model,
            request_id=self.request_id,
            usage=self.usage,
            latency_seconds=self.latency_seconds,
            first_token_seconds=self.first_token_seconds,
        )
        return Reply(answer, self.deployment, cached=True)


def cache_key(question: Question) -> str:
    """SHA-256 of everything that shapes the answer: the request without its timeouts, repeat and draw, the format.

    Run, experiment, criterion and row are not part of it: the same question is the same, whoever asks. A streamed
    request is another one, as an answer that came whole does not tell when it began.
    """
    shape: dict[str, Any] = {name: getattr(question.request, name) for name in _SHAPING}
    if shape["schema"] is None:
        del shape["schema"]  # so that answers kept before there were schemas are still found
    if not shape["stream"]:
        del shape["stream"]  # as it was before there were streams
    if shape["reasoning_effort"] is None:
        del shape["reasoning_effort"]  # as it was before there were efforts
    drawn = {"draw": question.draw} if question.draw else {}
    return sha256(_canonical({"v": FORMAT, "repeat": question.repeat, **drawn, "request": shape})).hexdigest()


def is_worth_keeping(reply: Reply) -> bool:
    """Whether an answer is whole: not cut, not filtered, no refusal, not empty, and seen by the content filter."""
    answer = reply.answer
    is_whole = answer.finish_reason == "stop" and bool(answer.text.strip())
    return is_whole and not answer.refused and not answer.unfiltered


def packed(entry: CachedAnswer) -> bytes:
    """The entry's blob: canonical JSON with the digest of the rest of it, so that one read tells if it is whole."""
    content = _plain(entry)
    return _canonical({**content, "sha256": sha256(_canonical(content)).hexdigest()})


def unpacked(blob: bytes, key: str) -> CachedAnswer:
    """The entry. Raises CorruptEntry for anything but the very bytes that `packed` makes of an entry of that key."""
    try:
        content = json.loads(blob)
        is_canonical = isinstance(content, dict) and _canonical(content) == blob
    except (ValueError, RecursionError):
        raise CorruptEntry("it is not JSON" if blob else "it is empty") from None
    if not is_canonical:
        raise CorruptEntry("it is not in the form that the cache writes")
    if content.pop("sha256", None) != sha256(_canonical(content)).hexdigest():
        raise CorruptEntry("its digest does not match")
    try:
        entry = CachedAnswer.model_validate(content)
    except ValidationError:
        raise CorruptEntry("it is not an entry of the cache") from None
    if entry.key != key:
        raise CorruptEntry("it is the entry of another key")
    return entry


def digest_of(blob: bytes) -> dict[str, str]:
    """The blob's metadata: digests only, as names and metadata are listed and logged."""
    return {"sha256": sha256(blob).hexdigest()}


def _plain(entry: CachedAnswer) -> dict[str, Any]:
    # Not `mode="json"`, which refuses the lone surrogates that a model's answer can hold.
    plain = {**entry.model_dump(), "stored_at": entry.stored_at.isoformat()}
    if entry.first_token_seconds is None:
        del plain["first_token_seconds"]
    return plain


def _fields(part: Any) -> dict[str, Any]:
    """A part of a request; what an image is taken to count as does not shape the answer."""
    found = asdict(part)
    if isinstance(part, ChatMessage):
        found["images"] = [[one.url, one.detail] for one in part.images]
        if not part.images:
            del found["images"]  # as it was before there were images
    return found


def _canonical(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_fields).encode("ascii")
