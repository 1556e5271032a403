"""What a run cost, by experiment and criterion: what was spent, what of it was thrown away, what came for nothing.

`columns.py` gathers it, `contents.py` puts it into the report.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated

from pydantic import PlainSerializer

from assay.records import NO_COST, BudgetMode, Outcome, Record
from assay.reporting import wording

PlainDecimal = Annotated[Decimal, PlainSerializer(lambda amount: f"{amount:f}", return_type=str, when_used="json")]


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
class CostCounts:
    """The sums of one experiment by criterion; in bounded memory."""

    by_criterion: dict[str, Cost] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        """Takes a trial in. What was billed for an answer that failed is thrown away."""
        for one in outcome.responses:
            self._add(
                one.criterion,
                Cost(
                    spent_usd=one.cost_usd or NO_COST,
                    discarded_usd=one.discarded_usd or NO_COST,
                    answers=1,
                    cached=int(one.cached),
                    unpriced=int(one.cost_usd is None),
                ),
            )
        failure = outcome.failure
        if failure is None or (failure.cost_usd is not None and not failure.cost_usd):
            return
        lost = failure.cost_usd or NO_COST
        unpriced = int(failure.cost_usd is None)
        self._add(failure.criterion or "", Cost(spent_usd=lost, discarded_usd=lost, unpriced=unpriced))

    def costs(self) -> Mapping[str, Cost]:
        """By criterion, in the order in which they came up, amounts without trailing zeros."""
        return {name: _normalised(cost) for name, cost in sorted(self.by_criterion.items())}

    def total(self) -> Cost:
        return _normalised(sum(self.by_criterion.values(), Cost()))

    def _add(self, criterion: str, cost: Cost) -> None:
        self.by_criterion[criterion] = self.by_criterion.get(criterion, Cost()) + cost


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
