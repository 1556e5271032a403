"""Amounts of US dollars as text: exact where a program reads them, rounded where a person does."""

from decimal import Decimal

_DECIMALS_BELOW_A_DOLLAR = 4


def exact_usd(amount: Decimal) -> str:
    """All digits, without exponent and without zeros at the end: equal amounts give equal text."""
    return f"{amount.normalize():f}"


def usd(amount: Decimal) -> str:
    """Two decimals from a dollar up, four below, and never fewer than two that count: `1,204.50`, `0.0312`, `0.000012`.

    The unit is not in it.
    """
    if amount >= 1 or not amount:
        return f"{amount:,.2f}"
    return f"{amount:.{max(_DECIMALS_BELOW_A_DOLLAR, 1 - amount.adjusted())}f}"
