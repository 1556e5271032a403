"""What aggregators and comparers see of an experiment: arrays, one slot per trial. The evaluation makes the views.

All arrays have the shape (rows, repeats): line `i` is row `i + 1` of the run (`Row.number`), in the baseline as in each
variant, and column `r` its repeat `r`. An experiment without repeats has one column.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from assay.records import TrialStatus

Floats = npt.NDArray[np.float64]

STATUSES = tuple(TrialStatus)
"""A trial's status as a number is its place in this list."""

NO_OUTCOME = -1
"""The status of a trial of which there is no outcome."""

NO_LABEL = -1

MOST_LABELS = 1_000
OTHER_LABELS = "(other labels)"
"""What labels are called that come after the first `MOST_LABELS` different ones."""


class LabelNames:
    """The different labels of one score, in the order seen, each with its number; all experiments of a run share it."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._codes)

    def code(self, label: str | None) -> int:
        """The number of a label, a new one where needed; NO_LABEL for None."""
        if label is None:
            return NO_LABEL
        known = self._codes.get(label)
        if known is not None:
            return known
        if len(self._codes) >= MOST_LABELS:
            label = OTHER_LABELS
        return self._codes.setdefault(label, len(self._codes))


@dataclass(frozen=True, slots=True)
class LabelColumn:
    """The labels of one score of one experiment: numbers that point into `names`, or NO_LABEL.

    Filled from `Score.expected` and `Score.label`. A trial that was not judged has neither; one whose answer holds no
    label has only `expected`.
    """

    names: tuple[str, ...]
    expected: npt.NDArray[np.int32]
    found: npt.NDArray[np.int32]

    def pairs(self) -> Counter[tuple[str, str | None]]:
        """How often each label was found where each was expected; found None: the answer holds no label."""
        judged = self.expected != NO_LABEL
        codes, counts = np.unique(
            np.stack([self.expected[judged], self.found[judged]]).reshape(2, -1), axis=1, return_counts=True
        )
        return Counter(
            {
                (self.names[expected], None if found == NO_LABEL else self.names[found]): int(count)
                for (expected, found), count in zip(codes.T, counts, strict=True)
            }
        )


@dataclass(frozen=True)
class ExperimentView:
    """One experiment after all its rows; NaN where there is no value. Read only: plugins must not change the arrays.

    `statuses` are places in STATUSES, or NO_OUTCOME. `scores` has every score of the suite, `labels` those that say
    labels. Of a trial with several criteria, seconds, tokens and cost are sums over its answers. `first_token_seconds`
    is that of its first answer, and NaN where answers are not streamed. Failed and blocked trials have tokens and cost
    where they were billed. `cost_usd` is NaN where an answer has no known price.
    """

    experiment: str
    baseline: bool
    statuses: npt.NDArray[np.int8]
    scores: Mapping[str, Floats]
    latency_seconds: Floats
    first_token_seconds: Floats
    input_tokens: Floats
    output_tokens: Floats
    cost_usd: Floats
    labels: Mapping[str, LabelColumn] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return len(self.statuses)

    @property
    def repeats(self) -> int:
        return int(self.statuses.shape[1])

    def label_pairs(self, score: str) -> Counter[tuple[str, str | None]]:
        """(expected, found) -> trials; found None: no label in the answer. Empty when the score is not of labels."""
        column = self.labels.get(score)
        return column.pairs() if column else Counter()
