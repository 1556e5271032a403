"""What is known of a run after its last outcome: what `evaluation.py` and `comparing.py` work on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from assay.llm.pricing import PriceTable, load_prices
from assay.planning.judges.catalogue import preference_scores
from assay.planning.preflight import primary_score, scores_given
from assay.records import BadRow
from assay.reporting.judge_records import JudgeFacts
from assay.reporting.outcome_files import OutcomeFiles
from assay.run_records import Plan, RunHeader
from assay.scoring.base import Scorer
from assay.scoring.early_stop.verdicts import Followed
from assay.suite.models import Suite


@dataclass(frozen=True)
class FinishedRun:
    """A run whose outcomes are on the disk. `prices` are those that costs were made with; absent, the shipped ones.

    `followed` is what early stop has seen, of runs that may end early; `judges` what is known of the suite's judges.
    """

    header: RunHeader
    suite: Suite
    outcomes: OutcomeFiles
    bad_rows: Sequence[BadRow] = ()
    quarantined_messages: int = 0
    prices: PriceTable = field(default_factory=load_prices)
    followed: Followed | None = None
    judges: Sequence[JudgeFacts] = ()

    @property
    def plan(self) -> Plan:
        return self.outcomes.plan

    @cached_property
    def scorers(self) -> tuple[Scorer, ...]:
        """All that gives scores, judges among them."""
        return scores_given(self.suite)

    @cached_property
    def primary(self) -> str | None:
        """The score that decides."""
        return primary_score(self.suite)

    @cached_property
    def preferences(self) -> frozenset[str]:
        """The scores that set a variant against the baseline, which itself has none of them."""
        return preference_scores(self.suite)
