"""What a run's budget means for its steps: whether it may begin, when to warn, and what to tell the person."""

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from assay.amounts import usd
from assay.budget.account import AccountSpoilt, read_account
from assay.llm.pricing import PriceTable
from assay.planning.estimate import Estimate, unpriced_deployments
from assay.records import NO_COST
from assay.run_records import BudgetMode, Progress, RunHeader
from assay.storage.base import Blobs
from assay.suite.models import Suite

WARN_AT_PERCENT = (80, 100)
WORTH_FREEING = 20
"""Money that workers hold is worth a word from this part of a budget on."""
_HEADROOM = Decimal("1.1")


@dataclass(frozen=True, slots=True)
class Terms:
    """How much a run may cost, and whether that stops it."""

    limit_usd: Decimal
    mode: BudgetMode

    @property
    def is_enforced(self) -> bool:
        return self.mode == "enforce"

    def crossed(self, before_usd: Decimal, after_usd: Decimal) -> list[int]:
        """The marks, in percent of the limit, that lie between two looks at what was spent."""
        marks = ((percent, self.limit_usd * percent / 100) for percent in WARN_AT_PERCENT)
        return [percent for percent, mark in marks if before_usd < mark <= after_usd]

    def notice(self, spent_usd: Decimal) -> str:
        """A sentence for people once the first mark of a budget that stops nothing is reached; before that, nothing."""
        if self.is_enforced or spent_usd * 100 < self.limit_usd * WARN_AT_PERCENT[0]:
            return ""
        verb = "exceeded" if spent_usd > self.limit_usd else "nearly used up"
        return f"Budget {verb}: {usd(spent_usd)} of {usd(self.limit_usd)} USD is spent; it is soft, so the run goes on."


def terms_of(suite: Suite) -> Terms | None:
    """The budget that a suite sets, or None."""
    limits = suite.limits
    return Terms(limits.budget_usd, limits.budget) if limits.budget_usd is not None else None


async def terms_now(blobs: Blobs, header: RunHeader) -> Terms | None:
    """The budget of a run: as a person changed it when resuming, else, or if nobody can tell, as its suite sets it."""
    terms = terms_of(Suite.model_validate(header.suite))
    try:
        account = await read_account(blobs, header.run) if terms and terms.is_enforced else None
    except AccountSpoilt:  # its workers stop the run
        return terms
    return Terms(account.limit_usd, account.mode) if account else terms


def price_fault(suite: Suite, prices: PriceTable, terms: Terms) -> str:
    """Why an enforced budget cannot be kept: a deployment that may be asked has no price. Empty when all have one."""
    unpriced = unpriced_deployments(suite, prices) if terms.is_enforced else []
    if not unpriced:
        return ""
    named = ", ".join(f"'{one}'" for one in unpriced)
    return (
        f"the budget of {usd(terms.limit_usd)} USD cannot be kept: there is no price of {named}. Say which model is"
        " behind it (model.priced_as in the suite), give its price in a table (ASSAY_PRICES), or let the budget only"
        " warn (limits.budget: soft)"
    )


def budget_fault(estimate: Estimate, terms: Terms) -> str:
    """Why a run should not begin: it would likely cost more than an enforced budget. Empty when it may."""
    likely, highest = estimate.total.likely_cost_usd, estimate.total.highest_cost_usd
    if not terms.is_enforced or likely is None or likely <= terms.limit_usd:
        return ""
    most = "" if highest is None or estimate.programs else f" ({usd(highest)} at most)"
    return f"the run would likely cost {usd(likely)} USD{most}, and its budget is {usd(terms.limit_usd)} USD"


def budget_advice(run: str, needed_usd: Decimal) -> str:
    """What can be done about a run that was refused as too dear; it needs so much at most."""
    return (
        f"Nothing was asked. Raise the budget of this run: assay resume {run} --budget-usd {suggested(needed_usd)}; or"
        " start it all the same, and it stops when the budget is used up: assay submit FILE --suite NAME --over-budget;"
        " or change limits.budget_usd or limits.budget in the suite"
    )


def budget_message(progress: Progress, spent_usd: Decimal, limit_usd: Decimal, held_usd: Decimal = NO_COST) -> str:
    """What a person reads of a run whose budget is used up; `held_usd` is what workers have that died, or rest."""
    done, total = progress.tally.trials, progress.trials_total
    if held_usd * WORTH_FREEING > limit_usd:
        return (
            f"Budget reached: {done:,} of {total:,} trials are done and {usd(spent_usd)} of {usd(limit_usd)} USD is"
            f" spent; {usd(held_usd)} USD is held by workers that have died. That is free again two minutes after the"
            f" last request, when the run goes on: assay resume {progress.run}"
        )
    needed = spent_usd * total / done if done else limit_usd
    return (
        f"Budget reached: {done:,} of {total:,} trials are done and {usd(spent_usd)} of {usd(limit_usd)} USD is spent. "
        f"Raise it and go on: assay resume {progress.run} --budget-usd {suggested(max(needed, limit_usd))}"
    )


def suggested(needed_usd: Decimal) -> str:
    """A round amount that is a little more than what is needed."""
    wanted = needed_usd * _HEADROOM
    step = Decimal(1).scaleb(wanted.adjusted() - 1)
    return f"{(wanted / step).to_integral_value(ROUND_CEILING) * step:f}"
