"""What goes wrong on purpose: faults, content verdicts, attacks, outages and cut quotas of the emulator.

Part of `emulator.yaml`, read by `emulator_config`; strict models only.
"""

import math
import re
from functools import cached_property
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from assay.local.emulator_deployment import Pattern, Share, Strict

# fmt: off
Fault = Literal[
    "error_500", "error_503", "timeout", "dropped", "malformed", "error_408", "error_429", "error_502",
    "insufficient_quota", "empty", "invalid_json", "refused", "prompt_filtered", "answer_filtered", "filter_error",
    "cut", "stream_error",
]
# fmt: on
FAULTS: tuple[Fault, ...] = get_args(Fault)


class FaultShares(Strict):
    """Shares of admitted requests that go wrong, by kind.

    Refused with a status: `error_...` (429: the service is at capacity; `insufficient_quota`: a 429 of another code).
    No answer: `timeout` holds the caller, `dropped` closes its connection. Bad answers: `malformed` is half a body,
    `empty` has no text, `invalid_json` is prose, `refused` a refusal; the content filter refuses the prompt
    (`prompt_filtered`), cuts the answer (`answer_filtered`), or could not be asked (`filter_error`). `cut` breaks the
    connection in the middle of the answer; `stream_error` reports an error there, and a 500 for what is not streamed.
    """

    error_500: Share = 0.0
    error_503: Share = 0.0
    timeout: Share = 0.0
    dropped: Share = 0.0
    malformed: Share = 0.0
    error_408: Share = 0.0
    error_429: Share = 0.0
    error_502: Share = 0.0
    insufficient_quota: Share = 0.0
    empty: Share = 0.0
    invalid_json: Share = 0.0
    refused: Share = 0.0
    prompt_filtered: Share = 0.0
    answer_filtered: Share = 0.0
    filter_error: Share = 0.0
    cut: Share = 0.0
    stream_error: Share = 0.0

    @model_validator(mode="after")
    def _check_shares(self) -> Self:
        total = sum(share for _, share in self.played)
        if total > 1 + 1e-9:
            raise ValueError(f"the shares add up to {total:g}; expected at most 1")
        return self

    @cached_property
    def played(self) -> tuple[tuple[Fault, float], ...]:
        """The kinds that happen at all, with their shares, in a fixed order."""
        return tuple((kind, share) for kind in FAULTS if (share := getattr(self, kind)))


class Faults(FaultShares):
    """Shares of requests that go wrong, drawn by content and attempt; and prompts that the filter always refuses.

    `first_attempts` spares the later ones: with 1, the second attempt at the same content is never faulted.
    """

    first_attempts: PositiveInt | None = None
    content_filter: list[Pattern] = Field(default_factory=list)


class Verdict(Strict):
    """Which contents get a verdict: those whose prompt holds a pattern, and a share of all, drawn by content."""

    patterns: list[Pattern] = Field(default_factory=list)
    share: Share = 0.0


class Verdicts(Strict):
    """What is said of a content at every attempt: content filter verdicts and refusals, in this order of precedence."""

    prompt_filtered: Verdict = Verdict()
    refused: Verdict = Verdict()
    answer_filtered: Verdict = Verdict()
    filter_error: Verdict = Verdict()


JAILBREAKS = (
    r"(?i)\b(ignore|disregard|forget)\b.{0,40}\b(previous|prior|above|earlier|all)\b.{0,40}\b(instructions?|rules|prompts?)\b",
    r"(?i)\bdo anything now\b|\bDAN mode\b|\bjailbreak\b",
    r"(?i)\b(reveal|print|show|repeat)\b.{0,30}\b(system|hidden|initial) (prompt|instructions?)\b",
    r"(?i)\bpretend\b.{0,40}\b(no|without)\b.{0,20}\b(rules|restrictions|limits)\b",
)


class ContentSafety(Strict):
    """The emulated Azure AI Content Safety: what its prompt shield takes for an attack, and how often it fails.

    Of the faults only error_429, error_500, error_503, timeout, dropped and malformed are played.
    """

    attacks: list[Pattern] = Field(default_factory=lambda: [re.compile(pattern) for pattern in JAILBREAKS])
    faults: FaultShares = FaultShares()


class ScheduleEntry(FaultShares):
    """What happens from `from_seconds` until just before `to_seconds` after the server's start.

    It happens everywhere, or to one `region`, one `deployment`, or one deployment of one region. Shares of faults;
    `quota_factor`, what is left of each limit, and whether `headers_tell` the smaller limits; `down`: every request is
    dropped without an answer and without a charge. Entries at the same time add up.
    """

    from_seconds: NonNegativeFloat = 0.0
    to_seconds: PositiveFloat = math.inf
    region: str | None = None
    deployment: str | None = None
    quota_factor: Annotated[float, Field(gt=0, le=1)] = 1.0
    headers_tell: bool = True
    down: bool = False

    def concerns(self, region: str, deployment: str | None) -> bool:
        """Whether it happens to a deployment; with None, to the whole region."""
        return self.region in (None, region) and self.deployment in (None, deployment)

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if self.to_seconds <= self.from_seconds:
            raise ValueError(
                f"to_seconds is {self.to_seconds:g}; expected more than from_seconds, {self.from_seconds:g}"
            )
        return self
