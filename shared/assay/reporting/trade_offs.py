"""What one experiment costs and takes beside another. Recommendations, plots and tables read it."""

from decimal import Decimal

from assay.reporting import wording
from assay.reporting.contents import ExperimentResult

_ABOUT_THE_SAME = 0.05
"""Cost and time that differ by no larger share count as the same."""


def cost_per_thousand(experiment: ExperimentResult) -> Decimal | None:
    """What 1,000 answered trials cost, in USD; None without an answer, or where a price is not known."""
    answered = experiment.statuses.succeeded
    return None if not answered or experiment.money.unpriced else experiment.cost_usd * 1000 / answered


def trade_off_sentence(before: ExperimentResult, after: ExperimentResult) -> str:
    """Cost and time of `after`, beside those of `before`; nothing where neither is known."""
    parts = [part for part in (_cost_change(before, after), _time_change(before, after)) if part]
    return f"{after.name} {wording.listed(parts)}." if parts else ""


def _cost_change(before: ExperimentResult, after: ExperimentResult) -> str:
    old, new = cost_per_thousand(before), cost_per_thousand(after)
    if not old or new is None:
        return ""
    if _is_about_same(float(old), float(new)):
        return f"costs about the same ({wording.usd(new)} per 1,000 answers)"
    said = _change(float(old), float(new), ("more", "less", "as much"))
    return f"costs {said} ({wording.usd(new)} per 1,000 answers instead of {wording.usd(old)})"


def _time_change(before: ExperimentResult, after: ExperimentResult) -> str:
    if not before.latency or not after.latency or not before.latency.p50_seconds:
        return ""
    old, new = before.latency.p50_seconds, after.latency.p50_seconds
    if _is_about_same(old, new):
        return f"takes about as long (median {wording.seconds(new)})"
    said = _change(old, new, ("longer", "less time", "as long"))
    return f"takes {said} (median {wording.seconds(new)} instead of {wording.seconds(old)})"


def _is_about_same(old: float, new: float) -> bool:
    return abs(new - old) <= _ABOUT_THE_SAME * old


def _change(old: float, new: float, words: tuple[str, str, str]) -> str:
    """`51 % more`, `20 % less`, `9.3 times as much`."""
    more, less, times = words
    if new >= 2 * old:
        return f"{new / old:,.1f} times {times}"
    return f"{abs(new - old) / old * 100:,.0f} % {more if new > old else less}"
