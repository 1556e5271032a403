"""What a report says of some of its experiments: the contents of a view that is not of all.

Figures of the rows and of the run as a whole stay; what counted over all experiments is counted again, or left out.
`redacted_bundle.py` calls it.
"""

from collections.abc import Collection, Iterable

from assay.reporting import wording
from assay.reporting.contents import ComparedScore, Contents, ExperimentResult, Prices
from assay.reporting.headline import headline
from assay.reporting.judge_records import JudgeFacts
from assay.reporting.money import Cost, RunCost
from assay.reporting.recommendation import recommend
from assay.reporting.samples import Trouble
from assay.scoring.early_stop.results import EarlyStop, EarlyStops

ALONE = (
    "No recommendation: an experiment is judged by its difference to the baseline, and this view has no pair of them."
)


def selected(whole: Contents, names: Collection[str]) -> Contents:
    """The contents of these experiments alone; those of all of them for no names.

    Comparisons stay with the baseline, and are adjusted as in the whole run. Without it nothing is compared.
    """
    if not names:
        return whole
    experiments = tuple(one for one in whole.experiments if one.name in names)
    compared = _comparisons(whole, experiments)
    judges = tuple(one for one in whole.judges if _judged_only(one, names))
    contents = whole.model_copy(
        update={
            "run": whole.run.model_copy(update={"trials": sum(map(_trials, experiments))}),
            "headline": _headline(whole, experiments, compared),
            "baseline": whole.baseline if experiments[0].baseline else "",
            "experiments": experiments,
            "comparisons": compared,
            "disagreements": {},
            **{kind: _of(getattr(whole, kind), names) for kind in ("failures", "blocked", "unscored")},
            "prices": _prices(whole.prices, experiments, judges),
            "money": _money(experiments, judges),
            "comparers": {name: found for name, found in whole.comparers.items() if name in _variants(compared)},
            "early_stop": _early_stop(whole.early_stop, names, has_baseline=experiments[0].baseline),
            "judges": judges,
        }
    )
    return contents.model_copy(update={"recommendation": recommend(contents) if compared else ALONE})


def _comparisons(whole: Contents, experiments: tuple[ExperimentResult, ...]) -> tuple[ComparedScore, ...]:
    if not experiments[0].baseline:
        return ()
    names = {one.name for one in experiments}
    return tuple(one for one in whole.comparisons if one.variant in names)


def _variants(compared: Iterable[ComparedScore]) -> set[str]:
    return {one.variant for one in compared}


def _headline(whole: Contents, experiments: tuple[ExperimentResult, ...], compared: tuple[ComparedScore, ...]) -> str:
    """What is said of the whole run where there is something to compare, else which experiments these are."""
    if compared:
        named = [(one.variant, one.result) for one in compared if one.primary]
        scored = any(whole.primary in one.metrics and one.metrics[whole.primary].n_scored for one in experiments)
        answered = any(one.statuses.succeeded for one in experiments)
        return headline(whole.baseline, whole.primary, named, scored=scored, answered=answered)
    listed = wording.listed([one.name for one in experiments])
    if experiments[0].baseline:
        return f"The baseline {listed} on its own, compared with nothing"
    own = "its" if len(experiments) == 1 else "their"
    return f"{listed} on {own} own, without the baseline and compared with nothing"


def _trials(one: ExperimentResult) -> int:
    return one.statuses.succeeded + one.statuses.unanswered


def _of(groups: Iterable[Trouble], names: Collection[str]) -> tuple[Trouble, ...]:
    """Trouble of these experiments, without samples."""
    counts = [(one.kind, {name: count for name, count in one.by_experiment.items() if name in names}) for one in groups]
    return tuple(
        Trouble(kind=kind, count=sum(found.values()), by_experiment=found, samples=())
        for kind, found in counts
        if found
    )


def _prices(prices: Prices, experiments: Iterable[ExperimentResult], judges: Iterable[JudgeFacts]) -> Prices:
    answered = [*(one.models for one in experiments), *(one.models for one in judges)]
    asked = {name for models in answered for name in models}
    return prices.model_copy(
        update={"unpriced_models": tuple(name for name in prices.unpriced_models if name in asked)}
    )


def _money(experiments: Iterable[ExperimentResult], judges: Iterable[JudgeFacts]) -> RunCost:
    """The sum over these experiments. The run's budget is of all of them, and stays away."""
    judging = sum((one.money for one in judges), Cost())
    total = sum((one.money for one in experiments), judging)
    return RunCost(**dict(total))


def _judged_only(judge: JudgeFacts, names: Collection[str]) -> bool:
    """Whether a judge was asked of these experiments alone: what it cost is not known of each."""
    return all(one.experiment in names and (one.against or one.experiment) in names for one in judge.experiments)


def _early_stop(whole: EarlyStops | None, names: Collection[str], *, has_baseline: bool) -> EarlyStops | None:
    if whole is None:
        return None
    kept = tuple(one for one in whole.experiments if one.experiment in names)
    if not has_baseline:
        kept = tuple(map(_uncompared, kept))
    return whole.model_copy(update={"experiments": kept})


def _uncompared(one: EarlyStop) -> EarlyStop:
    """Without what it says of the difference to the baseline; a threshold is the experiment's own."""
    settled = one.settled
    if settled is not None and settled.decision != "threshold":
        settled = settled.model_copy(update={"reason": "it was settled how it differs", "statistic": None})
    return one.model_copy(update={"sequences": {}, "settled": settled})
