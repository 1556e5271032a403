"""What adaptive `max_tokens` gains: trials per minute at a token quota, simulated with the real link and no clock.

`python -m tests.bench.answer_limits` prints it. Answers are log-normal, and nothing known before tells their length.
"""

import asyncio
import math
from dataclasses import dataclass
from random import Random

from assay.llm.base import ChatAnswer, ChatMessage, ChatRequest
from assay.middleware.answer_limits import AnswerLimits
from assay.middleware.base import Question, Reply
from assay.records import Usage
from assay.telemetry import RecordingTelemetry

from .quota.loads import LOADS, QUOTAS, BenchQuota, Load

SUITE_LIMITS = (400, 600, 800, 1_000, 2_000)
TRIALS = 4_000
AT_ONCE = 16


@dataclass(frozen=True)
class Gain:
    """Trials per minute at the quota; `bound` is what knowing every answer's length beforehand would give."""

    max_tokens: int
    plain: float
    limited: float
    bound: float
    rerun_share: float

    @property
    def factor(self) -> float:
        return self.limited / self.plain

    def __str__(self) -> str:
        return (
            f"{self.plain:5.1f} -> {self.limited:5.1f} a minute, {self.factor:.2f}x"
            f" (at most {self.bound / self.plain:.2f}x), {self.rerun_share:.1%} asked again"
        )


class ChargingModel:
    """Answers at once, and charges as a standard deployment does: the prompt and the limit that was sent."""

    def __init__(self, load: Load, max_tokens: int, seed: int) -> None:
        self._random = Random(seed)
        self._load = load
        self._max_tokens = max_tokens
        self._drawn: dict[str, tuple[int, int]] = {}
        self.charged = self.charged_plain = self.charged_at_least = 0

    async def __call__(self, question: Question) -> Reply:
        limit = question.request.max_tokens
        prompt, length = self._drawn.get(question.row_id) or self._draw(question.row_id)
        await asyncio.sleep(0)
        self.charged += prompt + limit
        usage = Usage(input_tokens=prompt, output_tokens=min(length, limit))
        finish = "length" if length > limit else "stop"
        return Reply(ChatAnswer("", finish, "mini", None, usage, 1.0), "chat")

    def _draw(self, row: str) -> tuple[int, int]:
        """The row's prompt and answer, drawn once: a rerun meets the same ones."""
        load = self._load
        prompt = round(self._random.lognormvariate(math.log(load.prompt_median), load.prompt_sigma))
        answer = round(self._random.lognormvariate(math.log(load.answer_median), load.answer_sigma))
        self._drawn[row] = prompt, max(1, answer)
        self.charged_plain += prompt + self._max_tokens
        self.charged_at_least += prompt + min(max(1, answer), self._max_tokens)
        return self._drawn[row]


def simulate(load: Load, quota: BenchQuota, max_tokens: int, trials: int = TRIALS, seed: int = 1) -> Gain:
    """One worker's trials, the first ones included, in which nothing is known yet."""
    return asyncio.run(_simulate(load, quota, max_tokens, trials, seed))


def measure() -> dict[str, str]:
    """The chat load at quota S, by the suite's own limit."""
    load, quota = LOADS["chat"], QUOTAS["S"]
    return {f"max_tokens {limit:,}": str(simulate(load, quota, limit)) for limit in SUITE_LIMITS}


async def _simulate(load: Load, quota: BenchQuota, max_tokens: int, trials: int, seed: int) -> Gain:
    model = ChargingModel(load, max_tokens, seed)
    link = AnswerLimits(RecordingTelemetry(), {"chat"})
    reruns = 0
    for first in range(0, trials, AT_ONCE):
        asked = (_question(row, max_tokens) for row in range(first, min(first + AT_ONCE, trials)))
        reruns += sum(reply.reruns for reply in await asyncio.gather(*(link.answer(one, model) for one in asked)))
    plain, limited, bound = (
        min(quota.requests, quota.tokens / (charged / trials))
        for charged in (model.charged_plain, model.charged, model.charged_at_least)
    )
    return Gain(max_tokens, plain, limited, bound, reruns / trials)


def _question(row: int, max_tokens: int) -> Question:
    request = ChatRequest("chat", (ChatMessage("user", str(row)),), max_tokens)
    return Question("run-1", "plain", "answer", str(row), request)


if __name__ == "__main__":
    for figure, value in measure().items():
        print(f"{figure:<20} {value}")
