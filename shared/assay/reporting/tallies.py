"""Sums over the answers of one experiment, taken in batch by batch: tokens, money, models, shortcuts.

`columns.py` keeps one per experiment; money is added as decimal numbers, so that no digit is lost.
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from assay.records import Usage
from assay.reporting.money import CostCounts
from assay.reporting.shortcuts import ShortcutCounts
from assay.reporting.trials import Places, TrialBatch, Whole

_TOKENS = tuple(Usage.model_fields)


@dataclass
class ExperimentTally:
    """What the answers and failures of one experiment add up to."""

    usage: Usage = field(default_factory=Usage)
    costs: CostCounts = field(default_factory=CostCounts)
    models: Counter[str] = field(default_factory=Counter)
    deployments: Counter[str] = field(default_factory=Counter)
    unpriced_models: set[str] = field(default_factory=set)
    shortcuts: ShortcutCounts = field(default_factory=ShortcutCounts)


def add_batch(tallies: list[ExperimentTally], batch: TrialBatch) -> None:
    """Adds a batch to the tallies, which stand in the order of the batch's experiments."""
    responses, failed = batch.responses, batch.experiment[batch.failed]
    experiment = batch.experiment[responses.trial]
    _add_usage(tallies, batch, experiment, failed)
    _add_money(tallies, batch, experiment, failed)
    _add_names(tallies, batch, experiment)
    for at, tally in enumerate(tallies):
        tally.shortcuts.add(_shortcuts(batch, experiment == at))


def _add_usage(tallies: list[ExperimentTally], batch: TrialBatch, experiment: Places, failed: Places) -> None:
    """What answers and failures were billed; a cached answer is billed for nothing but what was thrown away."""
    responses = batch.responses
    fresh = ~responses.flags("cached")
    sums = {}
    for name in _TOKENS:
        billed = np.where(fresh, responses.whole("usage", name), 0) + responses.whole("discarded", name)
        sums[name] = _by_experiment(tallies, experiment, billed)
        sums[name] += _by_experiment(tallies, failed, batch.failed_tokens(name))
    for at, tally in enumerate(tallies):
        tally.usage += Usage(**{name: int(values[at]) for name, values in sums.items()})


def _add_money(tallies: list[ExperimentTally], batch: TrialBatch, experiment: Places, failed: Places) -> None:
    responses = batch.responses
    answers = {
        "experiment": experiment,
        "criterion": responses.strings("criterion"),
        "cost_usd": responses.strings("cost_usd"),
        "discarded_usd": responses.strings("discarded_usd"),
        "cached": responses.flags("cached"),
    }
    for at, criterion, cost, discarded, cached, count in _counted(answers):
        tallies[at].costs.add_answers(criterion, cost, discarded, cached=count if cached else 0, count=count)
    lost = {
        "experiment": failed,
        "criterion": batch.failures("criterion"),
        "cost_usd": batch.failures("cost_usd"),
    }
    for at, criterion, cost, count in _counted(lost):
        tallies[at].costs.add_failures(criterion, cost, count)


def _add_names(tallies: list[ExperimentTally], batch: TrialBatch, experiment: Places) -> None:
    responses = batch.responses
    named = {
        "experiment": experiment,
        "model": responses.strings("model"),
        "deployment": responses.strings("deployment"),
        "unpriced": responses.strings("cost_usd").is_null(),
    }
    for at, model, deployment, unpriced, count in _counted(named):
        tallies[at].models[model] += count
        tallies[at].deployments[deployment] += count
        if unpriced:
            tallies[at].unpriced_models.add(model)


def _shortcuts(batch: TrialBatch, chosen: np.ndarray) -> ShortcutCounts:
    responses = batch.responses
    reruns, limits = responses.whole("reruns")[chosen], responses.floats("limit_sent")[chosen]
    limited, again = ~np.isnan(limits), reruns > 0
    cut = limited & again
    return ShortcutCounts(
        answers=len(reruns),
        cached=int(np.count_nonzero(responses.flags("cached")[chosen])),
        limited=int(np.count_nonzero(limited)),
        cut=int(np.count_nonzero(cut)),
        reruns=int(reruns.sum()),
        limits=int(limits[limited].sum()),
        cut_prompt_tokens=int(responses.whole("usage", "input_tokens")[chosen][cut].sum()),
        discarded=Usage(**{name: int(responses.whole("discarded", name)[chosen][again].sum()) for name in _TOKENS}),
        lowest=int(limits[limited].min()) if limited.any() else None,
        highest=int(limits[limited].max()) if limited.any() else None,
    )


def _by_experiment(tallies: list[ExperimentTally], experiment: Places, values: Whole) -> Whole:
    # Doubles hold whole numbers exactly up to 2**53; a batch is far from that.
    return np.bincount(experiment, weights=values, minlength=len(tallies)).astype(np.int64)


def _counted(columns: dict[str, object]) -> list[tuple]:  # type: ignore[type-arg]
    """The different lines of the columns, each with how often it is there."""
    table = pa.table(columns)
    counted = table.group_by(table.column_names, use_threads=False).aggregate([([], "count_all")])
    return list(zip(*(counted[name].to_pylist() for name in (*table.column_names, "count_all")), strict=True))
