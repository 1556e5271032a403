"""What a model's tokens cost: the dated list prices in `prices.yaml` beside this file, or those of `ASSAY_PRICES`.

Called for every answer, for every reservation of a budget, by estimates, and by the report for their date.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from assay.errors import UserError
from assay.field_problems import field_sentence
from assay.records import Usage

PRICES = Path(__file__).with_name("prices.yaml")

_PER = Decimal(1_000_000)
_NANO_USD = Decimal("1e-9")

Usd = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]


class Price(BaseModel):
    """USD per million tokens. Without a price of its own, cached input costs what input costs.

    `batch_input` and `batch_output` are what the service's batch lane asks; None where it has no such price.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Usd
    cached_input: Usd | None = None
    output: Usd
    batch_input: Usd | None = None
    batch_output: Usd | None = None

    def of(self, usage: Usage) -> Decimal:
        """What these tokens cost in USD, to the billionth; `input_tokens` includes the cached ones."""
        cached = self.input if self.cached_input is None else self.cached_input
        fresh_tokens = usage.input_tokens - usage.cached_input_tokens
        total = fresh_tokens * self.input + usage.cached_input_tokens * cached + usage.output_tokens * self.output
        return (total / _PER).quantize(_NANO_USD)

    def batch_of(self, usage: Usage) -> Decimal | None:
        """What they cost in the batch lane; None when that has no price."""
        if self.batch_input is None or self.batch_output is None:
            return None
        total = usage.input_tokens * self.batch_input + usage.output_tokens * self.batch_output
        return (total / _PER).quantize(_NANO_USD)

    def highest(self, prompt_tokens: int, max_tokens: int) -> Decimal:
        """The most that one request can cost in USD: nothing of the prompt cached, an answer of `max_tokens`."""
        dearest = max(self.input, self.cached_input or self.input)
        return ((prompt_tokens * dearest + max_tokens * self.output) / _PER).quantize(_NANO_USD)


@dataclass(frozen=True)
class PriceTable:
    """Prices by the beginning of a model's name. `as_of` and `source` go into reports."""

    as_of: date
    source: str
    prices: Mapping[str, Price]

    def listed_as(self, model: str) -> str | None:
        """The longest key that the name equals or continues with a dash; None when there is none.

        The dash keeps `gpt-5.9` from passing for `gpt-5`: no price is better than another model's.
        """
        return max((key for key in self.prices if f"{model}-".startswith(f"{key}-")), key=len, default=None)

    def price(self, model: str) -> Price | None:
        """The price under the key that the table lists the model as; None when there is none."""
        found = self.listed_as(model)
        return None if found is None else self.prices[found]

    def cost(self, model: str, usage: Usage) -> Decimal | None:
        """What the tokens cost in USD, to the billionth, or None when the model has no known price."""
        price = self.price(model)
        return None if price is None else price.of(usage)


class _PriceFile(BaseModel):
    """A file of prices. Unless it is `complete`, models that it does not list keep the price of our own list."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: date
    source: Annotated[str, Field(min_length=1)]
    complete: bool = False
    prices: dict[Annotated[str, Field(min_length=1)], Price]


@cache
def load_prices(path: Path | None = None) -> PriceTable:
    """Our own list prices, or with a path those of a file laid over them; read once per process.

    Raises UserError for a file that cannot be used.
    """
    own = _read(PRICES)
    listed = PriceTable(own.as_of, own.source, own.prices)
    if path is None:
        return listed
    over = _read(path)
    if over.complete:
        return PriceTable(over.as_of, over.source, over.prices)
    source = f"{over.source}; models not listed there as of {listed.as_of}: {listed.source}"
    return PriceTable(over.as_of, source, {**listed.prices, **over.prices})


def _read(path: Path) -> _PriceFile:
    try:
        return _PriceFile.model_validate(_content(path))
    except ValidationError as error:
        raise UserError("\n".join(f"{path}: {_sentence(one)}" for one in error.errors())) from None


def _content(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path}: the price table of ASSAY_PRICES cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not valid UTF-8 at byte {error.start + 1}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML: {' '.join(str(error).split())}") from None


def _sentence(error: ErrorDetails) -> str:
    found = "" if error["type"] == "missing" else f", found {str(error['input'])[:60]!r}"
    return (
        f"{field_sentence(error, 'the file')}{found}; "
        "expected a price table: as_of (a date), source (text) and prices, per model "
        "input and output, if there are such also cached_input, batch_input and batch_output, in USD per million tokens"
    )
