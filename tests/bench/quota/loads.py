"""What the bench asks for: quotas, the kinds of requests, and how they arrive. Standard library only.

The workers of both sides use it: ours, and those of the baselines, whose environment has no Assay.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from random import Random

# Named as its model, so that everybody knows its price before the first answer.
DEPLOYMENT = "gpt-4o-mini"
MODEL = "gpt-4o-mini-2024-07-18"
API_VERSION = "2024-10-21"
FEWEST_SLOTS = 16
SECONDS_BEFORE_FIRST_TOKEN = 0.4
SECONDS_PER_TOKEN = 0.018
TOKENS_AROUND_THE_MESSAGE = 4
CHARACTERS_PER_TOKEN = 4

_TEXT = "The customer writes that the parcel has not arrived and asks what will be done about it. " * 1_000


@dataclass(frozen=True, slots=True)
class BenchQuota:
    """What the deployment grants per minute."""

    name: str
    requests: int
    tokens: int


QUOTAS = {
    quota.name: quota
    for quota in (
        BenchQuota("S", 600, 100_000),
        BenchQuota("M", 2_400, 400_000),
        BenchQuota("L", 10_000, 2_000_000),
        BenchQuota("loose", 100_000, 100_000_000),
    )
}


@dataclass(frozen=True, slots=True)
class Load:
    """Log-normal prompts and answers, in tokens. `max_tokens` is what each request asks for at most."""

    name: str
    prompt_median: float
    prompt_sigma: float
    answer_median: float
    answer_sigma: float
    max_tokens: int

    @property
    def mean_charge(self) -> float:
        """Tokens that a standard deployment charges for one request, on average."""
        return self.prompt_median * math.exp(self.prompt_sigma**2 / 2) + self.max_tokens

    @property
    def median_seconds(self) -> float:
        return SECONDS_BEFORE_FIRST_TOKEN + SECONDS_PER_TOKEN * self.answer_median

    @property
    def mean_seconds(self) -> float:
        mean_answer = self.answer_median * math.exp(self.answer_sigma**2 / 2)
        return SECONDS_BEFORE_FIRST_TOKEN + SECONDS_PER_TOKEN * min(mean_answer, self.max_tokens)

    def requests_per_second(self, quota: BenchQuota) -> float:
        """What the quota allows of this load, by whichever axis binds."""
        return min(quota.requests, quota.tokens / self.mean_charge) / 60

    def binding_axis(self, quota: BenchQuota) -> str:
        return "tokens" if quota.tokens / self.mean_charge < quota.requests else "requests"

    def slots(self, quota: BenchQuota, workers: int) -> int:
        """Requests that one worker has under way or waiting: three times what the quota needs, at least 16."""
        in_flight = self.requests_per_second(quota) * self.mean_seconds
        return max(FEWEST_SLOTS, math.ceil(3 * in_flight / workers))


LOADS = {
    load.name: load
    for load in (
        Load("chat", 480, 0.45, 140, 0.7, 400),
        Load("chat-800", 480, 0.45, 140, 0.7, 800),
        Load("chat-1000", 480, 0.45, 140, 0.7, 1_000),
        Load("short", 45, 0.3, 12, 0.5, 32),
        Load("long", 6_000, 0.8, 600, 0.7, 2_000),
    )
}


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request's text, and what the emulator charges for its prompt."""

    text: str
    tokens: int

    @property
    def messages(self) -> list[dict[str, str]]:
        return [{"role": "user", "content": self.text}]


class Prompts:
    """The prompts of one worker: the same seed gives the same ones, and no two are equal."""

    def __init__(self, load: Load, worker: str, seed: int) -> None:
        self._load = load
        self._worker = worker
        self._random = Random(f"{seed} {worker}")
        self._count = 0

    def next(self) -> Prompt:
        self._count += 1
        drawn = self._random.lognormvariate(math.log(self._load.prompt_median), self._load.prompt_sigma)
        head = f"Request {self._count} of {self._worker}. "
        characters = max(len(head), CHARACTERS_PER_TOKEN * (int(drawn) - TOKENS_AROUND_THE_MESSAGE))
        text = (head + _TEXT)[:characters]
        return Prompt(text, math.ceil(len(text) / CHARACTERS_PER_TOKEN) + TOKENS_AROUND_THE_MESSAGE)


def content_digest(deployment: str, messages: Sequence[Mapping[str, str]]) -> str:
    """The name that the emulator's log gives to this content: how a worker's line and the log's find each other."""
    content = json.dumps([deployment, list(messages), {}], sort_keys=True, separators=(",", ":"))
    return blake2b(content.encode(), digest_size=16).hexdigest()
