"""Which differences a run could find, before it is paid for: by its rows, its score and assumptions on the answers.

Called by `assay estimate`, which alone imports it: the power functions need SciPy.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

from assay.planning.plan import Planned
from assay.planning.preflight import primary_score, scores_given
from assay.records import Record
from assay.scoring.base import ScoreKind
from assay.scoring.statistics.clusters import group_codes
from assay.scoring.statistics.power import (
    CLUSTERED_POWER,
    MCNEMAR_POWER,
    PAIRED_POWER,
    mcnemar_minimum,
    mcnemar_pairs_needed,
    paired_minimum,
    paired_pairs_needed,
)
from assay.suite.models import Suite, TestName

DISCORDANT_SHARES = (0.05, 0.1, 0.2, 0.3, 0.5)
"""Shares of rows that just one of two experiments passes; which one holds is known after the run only."""

_COUNTED_TESTS: tuple[TestName | None, ...] = (None, "mcnemar_exact", "sign")


class Detectable(Record):
    """What can be found if an assumption holds. A difference of pass rates is a share, another one in deviations.

    `discordant_share` is the assumed share of rows that just one experiment passes; None for a numeric score, whose
    unit is the standard deviation of the rows' differences. `minimum_difference` takes rows for independent,
    `minimum_by_group` the rows of a group for alike; None: no difference can be found. `rows_needed` is for the target;
    None: none asked for, or out of reach.
    """

    discordant_share: float | None
    minimum_difference: float | None
    minimum_by_group: float | None = None
    rows_needed: int | None = None


class Detectability(Record):
    """The differences that a run could find on its primary score with chance `power`, one line per assumption.

    `alpha` is that of all `comparisons` together; the hardest of them has it divided by their number. `method` is the
    test whose power it is. `target` is the difference that `rows_needed` is about.
    """

    score: str
    kind: ScoreKind
    method: str
    rows: int
    groups: int | None
    repeats: int
    alpha: float
    comparisons: int
    power: float
    target: float | None
    lines: tuple[Detectable, ...]


def detectable_differences(suite: Suite, planned: Planned, target: float | None = None) -> Detectability | None:
    """What a run of `suite` could find; None when it scores nothing or compares nothing.

    Every row is taken to get a score from every experiment. Repeats of a row are taken for alike, which is the worst
    case. The formulas are those of `scoring/statistics/power.py`.
    """
    scores, score = scores_given(suite), primary_score(suite)
    variants = len(suite.experiments) - 1
    kind = next((one.kind for one in scores if one.name == score), None)
    if score is None or kind is None or not variants:
        return None
    comparison, comparisons = suite.comparison, len(scores) * variants
    method = _method(suite, kind, comparison.test_of(score))
    design = _Design(method, comparison.alpha / comparisons, comparison.power)
    groups = _count_groups(planned.rows, comparison.group) if comparison.group else None
    shares = DISCORDANT_SHARES if kind == "binary" else (None,)
    return Detectability(
        score=score,
        kind=kind,
        method=method,
        rows=planned.plan.rows,
        groups=groups,
        repeats=max(one.repeats for one in suite.experiments),
        alpha=comparison.alpha,
        comparisons=comparisons,
        power=comparison.power,
        target=target,
        lines=tuple(_line(design, share, planned.plan.rows, groups, target) for share in shares),
    )


@dataclass(frozen=True)
class _Design:
    """A test at the level of the hardest comparison."""

    method: str
    alpha: float
    power: float

    def minimum(self, share: float | None, pairs: int) -> float | None:
        if share is not None and self.method == MCNEMAR_POWER:
            return mcnemar_minimum(share, pairs, self.alpha, self.power)
        found = paired_minimum(_spread(share), pairs, self.alpha, self.power)
        return None if found is None or (share is not None and found > share) else found

    def pairs_needed(self, difference: float, share: float | None) -> int | None:
        if share is not None and difference > share:
            return None
        try:
            if share is not None and self.method == MCNEMAR_POWER:
                return mcnemar_pairs_needed(difference, share, self.alpha, self.power)
            return paired_pairs_needed(difference, _spread(share), self.alpha, self.power)
        except ValueError:  # beyond any dataset
            return None


def _line(design: _Design, share: float | None, rows: int, groups: int | None, target: float | None) -> Detectable:
    return Detectable(
        discordant_share=share,
        minimum_difference=design.minimum(share, rows),
        minimum_by_group=None if groups is None else design.minimum(share, groups),
        rows_needed=None if target is None else design.pairs_needed(target, share),
    )


def _method(suite: Suite, kind: ScoreKind, test: TestName | None) -> str:
    if suite.comparison.group:
        return CLUSTERED_POWER
    counted = kind == "binary" and not suite.is_repeated and test in _COUNTED_TESTS
    return MCNEMAR_POWER if counted else PAIRED_POWER


def _spread(share: float | None) -> float:
    """The deviation of the rows' differences: at most this for differences of -1, 0 and 1; else it is the unit."""
    return 1.0 if share is None else sqrt(share)


def _count_groups(rows: Path, column: str) -> int:
    return len(set(group_codes(_groups(rows, column)).tolist()))


def _groups(rows: Path, column: str) -> Iterator[object]:
    with rows.open("rb") as lines:
        for line in lines:
            yield json.loads(line)["fields"].get(column)
