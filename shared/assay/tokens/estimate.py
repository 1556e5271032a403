"""How many tokens a prompt will be charged, before it is sent: one estimator per deployment and process.

`execution/asking.py` asks it for every request and lets it learn from `usage`; plans ask `estimate_tokens`.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Protocol

from assay.telemetry import Telemetry
from assay.tokens.calibration import RelativeError, RunningRatio
from assay.tokens.encodings import TextCounter, text_counter

CHARACTERS_PER_TOKEN = 4
TOKENS_AROUND_A_MESSAGE = 4

FEWEST_PROMPTS = 30
SIGMAS_ABOVE = 4
LEAST_MARGIN = 0.02
PROMPTS_BETWEEN_REPORTS = 1_000
_FIRST_CHARACTERS = 2_000
"""How many characters the first guess of four per token weighs: about one prompt's."""


class HasContent(Protocol):
    """A chat message, as far as its length goes."""

    @property
    def content(self) -> str: ...


def estimate_tokens(messages: Iterable[HasContent]) -> int:
    """Tokens of the prompt: a quarter of its characters, rounded up, and four around each message.

    Azure OpenAI charges its quota by such an estimate too, not by the tokens it bills.
    """
    return sum(-(-len(each.content) // CHARACTERS_PER_TOKEN) + TOKENS_AROUND_A_MESSAGE for each in messages)


class TokenEstimator:
    """Estimates the prompt tokens of one deployment's requests, and gets better with every answer.

    Two figures differ. The quota is charged at arrival, by an estimate of the service that rests "in part" on the
    number of characters (measured: a quarter of them); the bill is in the model's own tokens. `billed` is the latter:
    tiktoken's count where the model's encoding is on this machine, else the characters; both are scaled by what
    `usage` said of earlier prompts.
    """

    def __init__(self, deployment: str, telemetry: Telemetry, count: TextCounter | None = None) -> None:
        self._deployment = deployment
        self._telemetry = telemetry
        counter = count or text_counter(deployment)
        self._unit = "tokens" if counter else "characters"
        self._units: TextCounter = counter or len
        start = 1.0 if counter else 1 / CHARACTERS_PER_TOKEN
        self._ratio = RunningRatio(start, _FIRST_CHARACTERS)
        self._error = RelativeError()

    @property
    def bias(self) -> float:
        """Mean relative error of `estimate` against the tokens billed: 0.05 is 5 % too high."""
        return self._error.bias

    @property
    def sigma(self) -> float:
        """Standard deviation of that error, per request."""
        return self._error.sigma

    def estimate(self, messages: Sequence[HasContent]) -> int:
        """Tokens that the quota is expected to be charged for the prompt: never below either rule.

        Which of the two a deployment charges by is not documented. Too low an estimate is refused by the service, and
        one that is 5 % too high costs 5 % of the prompts' share of the quota: so it is the larger one.
        """
        characters = sum(len(each.content) for each in messages)
        by_characters = -(-characters // CHARACTERS_PER_TOKEN) + TOKENS_AROUND_A_MESSAGE * len(messages)
        return max(by_characters, self.billed(messages))

    def billed(self, messages: Sequence[HasContent]) -> int:
        """Tokens that the prompt is expected to be billed."""
        return int(self._ratio.value * self._units_of(messages)) + TOKENS_AROUND_A_MESSAGE * len(messages)

    def highest(self, messages: Sequence[HasContent]) -> int:
        """Tokens that the prompt will hardly be billed more than: what to reserve money for.

        Four sigmas above what is expected; one token per byte, which no encoding exceeds, until that is known.
        """
        most = sum(len(each.content.encode("utf-8", "surrogatepass")) for each in messages)
        most += 2 * TOKENS_AROUND_A_MESSAGE * len(messages)
        if self._error.count < FEWEST_PROMPTS:
            return most
        margin = max(SIGMAS_ABOVE * self.sigma, LEAST_MARGIN)
        return min(most, math.ceil(self.estimate(messages) * (1 / (1 + self.bias) + margin)))

    def learn(self, messages: Sequence[HasContent], prompt_tokens: int) -> None:
        """What the service counted for a prompt (`usage.prompt_tokens`). Cheap; call it for every answer."""
        if prompt_tokens <= 0:
            return
        self._error.learn(self.estimate(messages), prompt_tokens)
        around = TOKENS_AROUND_A_MESSAGE * len(messages)
        self._ratio.learn(self._units_of(messages), prompt_tokens - around)
        if self._error.count == FEWEST_PROMPTS or self._error.count % PROMPTS_BETWEEN_REPORTS == 0:
            self._report()

    def _units_of(self, messages: Sequence[HasContent]) -> int:
        return sum(self._units(each.content) for each in messages)

    def _report(self) -> None:
        self._telemetry.event(
            "token_estimates",
            deployment=self._deployment,
            prompts=self._error.count,
            bias=round(self.bias, 4),
            sigma=round(self.sigma, 4),
            counted_in=self._unit,
            tokens_per_unit=round(self._ratio.value, 4),
        )
