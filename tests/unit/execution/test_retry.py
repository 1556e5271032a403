"""What is decided after a failed attempt; what is carried out then is in `test_asking.py` and `test_routes.py`."""

from __future__ import annotations

from collections import Counter

import pytest
from asking_bench import failing
from hypothesis import given
from hypothesis import strategies as st

from assay.execution.retry import RetryDecision, Step, decide_retry
from assay.llm.base import ModelError
from assay.llm.errors import LONGEST_WAIT_SECONDS, TAXONOMY, FailureKind

KINDS = st.sampled_from(list(FailureKind))


def decide(
    error: ModelError, failures: int = 1, attempts_limit: int = 6, *, has_fallback: bool = False
) -> RetryDecision:
    return decide_retry(error, Counter({error.kind: failures}), attempts_limit, lambda: 1.0, has_fallback=has_fallback)


@given(KINDS, st.integers(1, 40), st.one_of(st.none(), st.floats(0.001, 1e6)), st.booleans())
def test_every_decision_is_within_the_table(
    kind: FailureKind, failures: int, asked: float | None, has_fallback: bool
) -> None:
    """Never a retry beyond the kind's own, never a fallback that it forbids, never a wait that is not worth it."""
    decision = decide(failing(kind, wait=asked), failures, has_fallback=has_fallback)
    rule = TAXONOMY[kind]
    if decision.step is Step.AGAIN:
        assert failures <= rule.retries
        assert decision.wait_seconds <= 1.1 * LONGEST_WAIT_SECONDS + 0.2
    else:
        assert decision.wait_seconds == 0
    if decision.step is Step.FALL_BACK:
        assert has_fallback
        assert rule.falls_back_after is not None


@pytest.mark.parametrize("has_fallback", [True, False])
def test_a_suspension_is_never_dodged(has_fallback: bool) -> None:
    """A 403 ends it, whatever else there is to ask."""
    assert decide(failing(FailureKind.FORBIDDEN), has_fallback=has_fallback).step is Step.GIVE_UP


def test_a_wait_that_is_not_worth_it_leads_to_the_fallback() -> None:
    """An hour here is nothing against an answer there."""
    error = failing(FailureKind.SERVICE_BUSY, wait=3600.0)
    assert decide(error, has_fallback=True).step is Step.FALL_BACK
    assert decide(error).step is Step.GIVE_UP


def test_attempts_of_a_kind_that_does_not_count_use_up_nothing() -> None:
    """Thirty refusals for pace leave all six attempts."""
    failures = Counter({FailureKind.RATE_LIMITED: 30, FailureKind.UNREACHABLE: 8, FailureKind.SERVER_ERROR: 1})
    assert decide_retry(failing(FailureKind.SERVER_ERROR), failures, 2, lambda: 1.0).step is Step.AGAIN
