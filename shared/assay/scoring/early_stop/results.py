"""What early stop leaves to reports: how far each experiment was asked, why it ended, what that saved. Light."""

from decimal import Decimal

from pydantic import Field

from assay.amounts import usd
from assay.records import NO_COST, Record
from assay.scoring.early_stop.base import Settled
from assay.scoring.results import Interval

HEURISTIC = "The threshold rule is a heuristic: it promises nothing about errors, and what it stopped proves nothing."


class Anytime(Record):
    """A score's difference as the sequential test sees it: over pairs in the plan's order, valid at every look.

    `interval` is in the score's units, at 1 - alpha over the number of variants. `direction` is 1 when the variant's
    score is shown to be higher, -1 when it is shown to be lower, else 0. `capital` is what a bet of 1 against "no
    difference" was worth at its best, in powers of ten.
    """

    pairs: int
    interval: Interval
    p_value: float
    direction: int
    capital_log10: float


class EarlyStop(Record):
    """One experiment. `settled` is None when no rule ended it; the baseline ends with its last variant.

    `saved_usd` is an estimate: the trials that were not asked, at the mean cost of those that were.
    """

    experiment: str
    baseline: bool
    settled: Settled | None = None
    asked_trials: int
    saved_trials: int
    saved_usd: Decimal = NO_COST
    sequences: dict[str, Anytime] = Field(default_factory=dict, description="By score, of those whose range is known")

    @property
    def sentence(self) -> str:
        """How it ended; nothing for what was asked in full."""
        if self.settled is None:
            return ""
        ended = self.settled
        where = f"after {ended.rows:,} of {ended.rows_planned:,} rows by the {ended.rule} rule"
        return f"{self.experiment} was stopped early {where}: {ended.reason}."


class EarlyStops(Record):
    """Early stop over a run. `alpha` is the sequential rule's over all variants; None without that rule."""

    rules: tuple[str, ...]
    alpha: float | None = None
    experiments: tuple[EarlyStop, ...]

    @property
    def saved_trials(self) -> int:
        return sum(one.saved_trials for one in self.experiments)

    @property
    def saved_usd(self) -> Decimal:
        return sum((one.saved_usd for one in self.experiments), NO_COST)

    @property
    def guarantee(self) -> str:
        """What the rules promise."""
        if self.alpha is None:
            return HEURISTIC
        promised = (
            f"At most {self.alpha * 100:.6g} % of runs without any difference would be stopped with a difference"
            " claimed, however often one looks; this holds for rows that have a score on both sides."
        )
        return f"{promised} {HEURISTIC}" if "threshold" in self.rules else promised

    @property
    def sentences(self) -> tuple[str, ...]:
        """What was stopped, what it saved, what is promised."""
        ended = [one.sentence for one in self.experiments if one.settled]
        if not self.saved_trials:
            return (*ended, "Every row was asked: no variant was stopped early.", self.guarantee)
        trials = f"{self.saved_trials:,} {'trial' if self.saved_trials == 1 else 'trials'}"
        money = f" and about {usd(self.saved_usd)} USD" if self.saved_usd else ""
        return (*ended, f"Early stop saved {trials}{money}.", self.guarantee)
