"""Amounts of money as text."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.amounts import exact_usd, usd

AMOUNTS = st.decimals(min_value=0, max_value=10**9, places=12)


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ("1204", "1,204.00"),
        ("24.694", "24.69"),
        ("0.31", "0.3100"),
        ("0.0312", "0.0312"),
        ("0.00123", "0.0012"),
        ("0.0000243", "0.000024"),
        ("3E-8", "0.000000030"),
        ("0", "0.00"),
    ],
)
def test_people_read_cents_and_of_small_amounts_two_digits(amount: str, said: str) -> None:
    """A budget of a tenth of a cent is not shown as nothing."""
    assert usd(Decimal(amount)) == said


@given(AMOUNTS)
def test_no_amount_is_rounded_to_nothing_or_far_off(amount: Decimal) -> None:
    """Half a cent, or a twentieth of what is less than a dollar."""
    shown = Decimal(usd(amount).replace(",", ""))
    assert abs(shown - amount) <= (Decimal("0.005") if amount >= 1 else amount / 20)


@given(AMOUNTS)
def test_an_exact_amount_is_the_same_number_without_exponent(amount: Decimal) -> None:
    """However it was calculated: equal amounts give equal text."""
    assert Decimal(exact_usd(amount)) == amount and "E" not in exact_usd(amount)
    assert exact_usd(amount) == exact_usd(amount * Decimal("1.000"))
