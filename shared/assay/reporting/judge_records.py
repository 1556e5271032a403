"""What a report says of one judge, as records: part of the contents. `judges.py` fills them."""

from assay.records import Record, Usage
from assay.reporting.money import Cost
from assay.reporting.samples import Trouble
from assay.scoring.results import Agreement, Interval


class Positions(Record):
    """How a judge of pairs dealt with the swap of the places. `pairs` were asked both ways and have a verdict.

    `flipped` is the share of these whose verdict changed with the places; each counts as a tie. `ties` is the share of
    honest ties. `equal` pairs were not asked: their answers were the same.
    """

    pairs: int
    flipped: Interval
    ties: Interval
    equal: int


class JudgedExperiment(Record):
    """What a judge did with one experiment's answers: `judged` have a score, `skipped` had no answer.

    `unusable`: the judge answered, and no score could be made of it. `agreement` is with the column `human`, over the
    first repeats that both judged, people first.
    """

    experiment: str
    against: str | None = None
    judged: int = 0
    failed: int = 0
    blocked: int = 0
    skipped: int = 0
    unusable: int = 0
    human: str | None = None
    agreement: Agreement | None = None
    positions: Positions | None = None


class JudgeFacts(Record):
    """One judge of a run: who judged, what it cost, and how good it is. `agreement` is over all its experiments."""

    name: str
    plugin: str
    deployment: str
    is_pairwise: bool
    usage: Usage
    money: Cost
    models: dict[str, int]
    experiments: tuple[JudgedExperiment, ...]
    agreement: Agreement | None = None
    failures: tuple[Trouble, ...] = ()

    @property
    def judged(self) -> int:
        """How many scores it gave."""
        return sum(one.judged for one in self.experiments)
