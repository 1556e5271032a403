"""Limits of docs/limits.md that no other test goes up to and beyond."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from pydantic import ValidationError

from assay.errors import UserError
from assay.orchestration.links import MOST_HOURS, bundle_link
from assay.planning.judges.llm_judge import MOST_STEPS, LlmJudgeOptions
from assay.scoring.statistics.choice import MOST_PERMUTED, demanded_test
from assay.scoring.statistics.intervals import MOST_BOOTSTRAPPED, bootstrap_mean_interval, mean_interval
from assay.storage.memory import MemoryStorage

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_more_pairs_than_are_permuted_get_the_t_test_and_the_report_says_so() -> None:
    """With so many pairs both give the same, and one of them takes minutes."""
    assert demanded_test("permutation", MOST_PERMUTED).name == "permutation"
    beyond = demanded_test("permutation", MOST_PERMUTED + 1)
    assert (beyond.name, "20001 pairs are above 20000" in beyond.reason) == ("paired_t", True)


def test_more_values_than_are_drawn_from_get_the_t_interval() -> None:
    """Which the bootstrap then equals."""
    many = np.arange(MOST_BOOTSTRAPPED + 1) % 7
    assert bootstrap_mean_interval(many, seed=1) == mean_interval(many)


def test_a_judge_s_scale_of_whole_numbers_has_a_bound() -> None:
    """A model that is to choose among thousands chooses round ones."""
    assert LlmJudgeOptions(name="grade", rubric="?", model={"deployment": "m"}, minimum=0, maximum=MOST_STEPS)
    with pytest.raises(ValidationError, match="at most 100 steps; say 'whole: false'"):
        LlmJudgeOptions(name="grade", rubric="?", model={"deployment": "m"}, minimum=0, maximum=MOST_STEPS + 1)


@pytest.mark.parametrize(
    ("hours", "said"), [(MOST_HOURS, "there is no bundles/demo-1.zip"), (MOST_HOURS + 0.1, "cannot last 167.1 hours")]
)
async def test_a_link_lasts_nearly_a_week_at_most(hours: float, said: str) -> None:
    """Storage grants an identity seven days by its own clock. The bundle is looked for afterwards."""
    with pytest.raises(UserError, match=said):
        await bundle_link(MemoryStorage(), "demo-1", hours, "internal", NOON)
