"""What a model's tokens cost, from the dated list prices in `prices.yaml` beside this file.

Called by the worker for every answer, and by the report for their date.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

from assay.records import Usage

PRICES = Path(__file__).with_name("prices.yaml")

_PER = Decimal(1_000_000)
_NANO_USD = Decimal("1e-9")


class Price(BaseModel):
    """USD per million tokens. Without a price of its own, cached input costs what input costs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Decimal
    cached_input: Decimal | None = None
    output: Decimal

    def of(self, usage: Usage) -> Decimal:
        """What these tokens cost in USD, to the billionth; `input_tokens` includes the cached ones."""
        cached = self.input if self.cached_input is None else self.cached_input
        fresh_tokens = usage.input_tokens - usage.cached_input_tokens
        total = fresh_tokens * self.input + usage.cached_input_tokens * cached + usage.output_tokens * self.output
        return (total / _PER).quantize(_NANO_USD)


@dataclass(frozen=True)
class PriceTable:
    """Prices by the beginning of a model's name. `as_of` and `source` go into reports."""

    as_of: date
    source: str
    prices: Mapping[str, Price]

    def price(self, model: str) -> Price | None:
        """The price under the longest key that the name equals or continues with a dash; None when there is none.

        The dash keeps `gpt-5.9` from passing for `gpt-5`: no price is better than another model's.
        """
        found = max((key for key in self.prices if f"{model}-".startswith(f"{key}-")), key=len, default=None)
        return None if found is None else self.prices[found]

    def cost(self, model: str, usage: Usage) -> Decimal | None:
        """What the tokens cost in USD, to the billionth, or None when the model has no known price."""
        price = self.price(model)
        return None if price is None else price.of(usage)


@cache
def load_prices(path: Path = PRICES) -> PriceTable:
    """The table of a file, read once per process."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    prices = {name: Price.model_validate(price) for name, price in content["prices"].items()}
    return PriceTable(content["as_of"], content["source"], prices)
