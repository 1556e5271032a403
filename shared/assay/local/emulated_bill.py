"""What one emulated deployment would have charged: tokens by kind, and USD at the list prices of its model.

Kept by `emulator_referee`; what is billed is decided in `emulator_service`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple


class Billed(NamedTuple):
    """The tokens of one billed request; the prompt's include the cached ones."""

    prompt_tokens: int
    cached_prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(slots=True)
class Tally:
    """Requests and their tokens, summed."""

    requests: int = 0
    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, billed: Billed) -> None:
        self.requests += 1
        self.prompt_tokens += billed.prompt_tokens
        self.cached_prompt_tokens += billed.cached_prompt_tokens
        self.completion_tokens += billed.completion_tokens

    def usd(self, model: str) -> Decimal | None:
        """The price of the sum, to the billionth; None when the model has no known price.

        List prices are whole billionths of a dollar per token, so this is also the sum of the single prices.
        """
        # Imported here: only who asks for the bill needs the price table.
        from assay.llm.pricing import load_prices
        from assay.records import Usage

        usage = Usage(
            input_tokens=self.prompt_tokens,
            cached_input_tokens=self.cached_prompt_tokens,
            output_tokens=self.completion_tokens,
        )
        return load_prices().cost(model, usage)

    def fields(self, model: str) -> dict[str, Any]:
        usd = self.usd(model)
        return {
            "requests": self.requests,
            "prompt_tokens": self.prompt_tokens,
            "cached_prompt_tokens": self.cached_prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "usd": None if usd is None else f"{usd:f}",
        }


@dataclass(slots=True)
class Bill:
    """All that was billed, and the part of it whose usage no caller was told."""

    whole: Tally = field(default_factory=Tally)
    unseen: Tally = field(default_factory=Tally)

    def fields(self, model: str) -> dict[str, Any]:
        """`requests`, tokens and `usd` (text of a decimal, or None) of all, and the same of the `unseen` part."""
        return {"model": model, **self.whole.fields(model), "unseen": self.unseen.fields(model)}


def total(bills: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The sum of bills as `Bill.fields` gives them; USD of the deployments whose model has a price."""
    bills = list(bills)
    return {**_sum(bills), "unseen": _sum([bill["unseen"] for bill in bills])}


def _sum(tallies: list[dict[str, Any]]) -> dict[str, Any]:
    counts = ("requests", "prompt_tokens", "cached_prompt_tokens", "completion_tokens")
    usd = sum((Decimal(tally["usd"]) for tally in tallies if tally["usd"] is not None), Decimal())
    return {**{name: sum(tally[name] for tally in tallies) for name in counts}, "usd": f"{usd:f}"}
