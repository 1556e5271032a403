"""Amounts that nobody can mean: they are refused while the suite is read, not met by a worker that counts with them."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from assay.model_settings import QuotaSettings
from assay.suite.models import Limits


@pytest.mark.parametrize("written", ["1e1000000", "1e-1000000", "1e-30", 10**10, 0, "NaN", "Infinity"])
def test_a_budget_is_an_amount_that_can_be_counted_and_shown(written: object) -> None:
    """Sums of the largest decimals overflow, and the smallest are shown with a million digits."""
    with pytest.raises(ValidationError):
        Limits.model_validate({"budget_usd": written})


@pytest.mark.parametrize("written", ["0.000001", "1000000000", 0.004])
def test_budgets_of_every_other_size_are_taken(written: object) -> None:
    """From a thousandth of a cent on."""
    assert Limits.model_validate({"budget_usd": written}).budget_usd


def test_a_quota_is_a_number_that_can_be_counted_with() -> None:
    """One of four hundred digits is more than a float holds."""
    with pytest.raises(ValidationError):
        QuotaSettings(requests_per_minute=10**400, tokens_per_minute=1)
