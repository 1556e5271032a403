"""What a run cost, by experiment and criterion: what was spent, what of it was thrown away, what came for nothing.

`tallies.py` gathers it, `contents.py` puts it into the report.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Annotated

from pydantic import PlainSerializer

from assay.amounts import exact_usd
from assay.records import NO_COST, Record
from assay.reporting import wording
from assay.run_records import BudgetMode

PlainDecimal = Annotated[Decimal, PlainSerializer(exact_usd, return_type=str, when_used="json")]


class Cost(Record):
    """Sums over requests. `discarded_usd` is the part of `spent_usd` that went into answers nobody uses.

    `cached` answers cost nothing now. The cost of `unpriced` ones is not known and not in the sums.
    """

    spent_usd: PlainDecimal = NO_COST
    discarded_usd: PlainDecimal = NO_COST
    answers: int = 0
    cached: int = 0
    unpriced: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(**{name: getattr(self, name) + getattr(other, name) for name in Cost.model_fields})


class RunCost(Cost):
    """What the whole run cost, beside its budget if it had one."""

    budget_usd: PlainDecimal | None = None
    budget: BudgetMode | None = None

    @property
    def notice(self) -> str:
        """A sentence when a budget that only warns was exceeded, else nothing."""
        if self.budget != "soft" or self.budget_usd is None or self.spent_usd <= self.budget_usd:
            return ""
        return f"The budget was exceeded: {wording.usd(self.spent_usd)} of {wording.usd(self.budget_usd)} were spent."


@dataclass
class _Sums:
    spent_usd: Decimal = NO_COST
    discarded_usd: Decimal = NO_COST
    answers: int = 0
    cached: int = 0
    unpriced: int = 0

    def cost(self) -> Cost:
        """As a record, amounts without trailing zeros."""
        amounts = {"spent_usd": self.spent_usd.normalize(), "discarded_usd": self.discarded_usd.normalize()}
        return Cost(**(asdict(self) | amounts))


@dataclass
class CostCounts:
    """The sums of one experiment by criterion; in bounded memory. Amounts come as the text of a decimal number."""

    by_criterion: dict[str, _Sums] = field(default_factory=lambda: defaultdict(_Sums))

    def add_answers(
        self, criterion: str, cost_usd: str | None, discarded_usd: str | None, count: int = 1, cached: int = 0
    ) -> None:
        """Takes in so many answers that cost as much, `cached` of them from the cache; None: the price is unknown."""
        sums = self.by_criterion[criterion]
        sums.spent_usd += Decimal(cost_usd or 0) * count
        sums.discarded_usd += Decimal(discarded_usd or 0) * count
        sums.answers += count
        sums.cached += cached
        sums.unpriced += count if cost_usd is None else 0

    def add_failures(self, criterion: str | None, cost_usd: str | None, count: int = 1) -> None:
        """Takes in so many failures that were billed as much: all of that is thrown away."""
        lost = Decimal(cost_usd or 0)
        if cost_usd is not None and not lost:
            return
        sums = self.by_criterion[criterion or ""]
        sums.spent_usd += lost * count
        sums.discarded_usd += lost * count
        sums.unpriced += count if cost_usd is None else 0

    def costs(self) -> Mapping[str, Cost]:
        """By criterion, by name."""
        return {name: sums.cost() for name, sums in sorted(self.by_criterion.items())}

    def total(self) -> Cost:
        return _normalised(sum((sums.cost() for sums in self.by_criterion.values()), Cost()))


def cost_sentences(whole: Cost) -> tuple[str, ...]:
    """What there is to say beside the sum; nothing for a run in which all went well and was paid."""
    said = []
    if whole.discarded_usd:
        said.append(f"Of {wording.usd(whole.spent_usd)} spent, {wording.usd(whole.discarded_usd)} was thrown away.")
    if whole.unpriced:
        said.append(f"The cost of {wording.noun(whole.unpriced, 'answer')} is unknown and not in the sums.")
    return tuple(said)


def _normalised(cost: Cost) -> Cost:
    return cost.model_copy(
        update={"spent_usd": cost.spent_usd.normalize(), "discarded_usd": cost.discarded_usd.normalize()}
    )
