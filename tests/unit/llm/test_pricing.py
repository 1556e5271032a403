"""Prices: which entry a model's name finds, and what tokens cost."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from assay.errors import UserError
from assay.llm.pricing import Price, PriceTable, load_prices
from assay.records import Usage

TABLE = PriceTable(
    date(2026, 1, 2),
    "a price list",
    {
        "gpt-4o": Price(input=Decimal("2.50"), cached_input=Decimal("1.25"), output=Decimal(10)),
        "gpt-4o-mini": Price(input=Decimal("0.15"), output=Decimal("0.60")),
    },
)


def test_cost_adds_fresh_cached_and_output_tokens() -> None:
    """Cached tokens are part of the input count and have their own price."""
    usage = Usage(input_tokens=1_000_000, cached_input_tokens=400_000, output_tokens=100_000)
    assert TABLE.cost("gpt-4o", usage) == Decimal("3.00")  # 0.6 x 2.50 + 0.4 x 1.25 + 0.1 x 10


def test_cached_input_without_a_price_costs_what_input_costs() -> None:
    """A missing discount must not make tokens free."""
    usage = Usage(input_tokens=1_000_000, cached_input_tokens=400_000)
    assert TABLE.cost("gpt-4o-mini", usage) == Decimal("0.15")


@pytest.mark.parametrize(
    ("model", "input_price"),
    [
        ("gpt-4o", "2.50"),
        ("gpt-4o-2024-11-20", "2.50"),
        ("gpt-4o-mini-2024-07-18", "0.15"),
        ("gpt-4omega", None),
        ("gpt-4", None),
        ("", None),
    ],
)
def test_the_longest_name_wins_and_a_different_name_has_no_price(model: str, input_price: str | None) -> None:
    """Dated versions share their model's price; a model that only begins alike has none."""
    price = TABLE.price(model)
    assert (price and price.input) == (input_price and Decimal(input_price))


def test_cost_is_quantised_to_the_billionth() -> None:
    """Costs have one scale everywhere, so that sums and signatures are exact."""
    cost = TABLE.cost("gpt-4o-mini", Usage(input_tokens=1))
    assert cost == Decimal("0.00000015")
    assert cost is not None and cost.as_tuple().exponent == -9


def test_an_unknown_model_has_no_cost() -> None:
    """Unknown is None, never zero."""
    assert TABLE.cost("llama-4", Usage(input_tokens=5)) is None


def test_the_shipped_table_is_dated_sourced_and_sound() -> None:
    """Every price is positive, cached input is never dearer than input, and the date and source are there."""
    table = load_prices()
    assert table.as_of > date(2026, 1, 1) and table.source.startswith("https://")
    for price in table.prices.values():
        assert 0 < (price.cached_input or price.input) <= price.input < price.output
    assert table.price("gpt-4.1-mini-2025-04-14") == table.prices["gpt-4.1-mini"]


PART = "as_of: 2026-09-01\nsource: our contract\nprices:\n  gpt-4o: {input: '2.00', output: '8.00'}\n"


def test_a_file_of_prices_lies_over_the_list(tmp_path: Path) -> None:
    """A model in the file costs what the file says; all others keep their list price, and both sources are named."""
    file = tmp_path / "prices.yaml"
    file.write_text(PART)

    table = load_prices(file)

    assert table.prices["gpt-4o"].input == Decimal("2.00")
    assert table.prices["gpt-4o-mini"] == load_prices().prices["gpt-4o-mini"]
    assert table.as_of == date(2026, 9, 1)
    assert table.source.startswith("our contract") and load_prices().source in table.source


def test_a_complete_file_of_prices_stands_alone(tmp_path: Path) -> None:
    """With `complete` no list price is left."""
    file = tmp_path / "prices.yaml"
    file.write_text(PART + "complete: true\n")

    table = load_prices(file)

    assert (set(table.prices), table.source) == ({"gpt-4o"}, "our contract")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("prices: [", "not YAML"),
        ("source: x\nprices: {}\n", "as_of"),
        ("as_of: 2026-09-01\nsource: x\nprices:\n  m: {input: -1, output: 1}\n", "prices.m.input"),
        ("as_of: 2026-09-01\nsource: x\nprices:\n  m: {input: 1, output: 1, cached: 1}\n", "prices.m.cached"),
        ("3", "the file"),
    ],
)
def test_a_wrong_file_of_prices_is_named_with_what_is_wrong(tmp_path: Path, text: str, found: str) -> None:
    """The message names file and key, and what a price table looks like."""
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=rf"mine\.yaml.*{found}"):
        load_prices(file)


def test_a_missing_file_of_prices_is_the_users_error(tmp_path: Path) -> None:
    """A path that leads nowhere is said, not ignored."""
    with pytest.raises(UserError, match=r"gone\.yaml.*ASSAY_PRICES"):
        load_prices(tmp_path / "gone.yaml")


def test_the_highest_cost_has_no_cached_token_and_a_whole_answer() -> None:
    """A reservation of this much is enough for any answer to the request."""
    price = TABLE.prices["gpt-4o"]
    assert price.highest(1_000_000, 100_000) == Decimal("3.50")
    assert price.highest(1_000, 50) >= price.of(Usage(input_tokens=1_000, cached_input_tokens=600, output_tokens=50))


def test_the_batch_lane_has_prices_of_its_own() -> None:
    """Without them its cost is unknown, never zero."""
    price = Price(input=Decimal(2), output=Decimal(8), batch_input=Decimal(1), batch_output=Decimal(4))
    usage = Usage(input_tokens=1_000_000, output_tokens=1_000_000)
    assert price.batch_of(usage) == Decimal(5)
    assert TABLE.prices["gpt-4o"].batch_of(usage) is None


def test_the_table_is_read_once(tmp_path: Path) -> None:
    """A second call gives the same table without reading the file again."""
    file = tmp_path / "prices.yaml"
    file.write_text("as_of: 2026-01-02\nsource: here\nprices:\n  m: {input: '1', output: '2'}\n")
    first = load_prices(file)
    file.unlink()
    assert load_prices(file) is first
