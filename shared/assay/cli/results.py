"""The result of a run in the terminal: the comparison with the baseline as a table."""

from assay.reporting import wording
from assay.reporting.contents import ComparedScore, Contents, ExperimentResult

COLUMNS = ("experiment", "answered", "value (95 % interval)", "difference to baseline", "p (Holm)", "verdict", "USD")


def comparison_table(contents: Contents) -> list[tuple[str, ...]]:
    """One line per experiment for the primary score, in the order of `COLUMNS`."""
    compared = {one.variant: one for one in contents.primary_comparisons}
    return [_line(contents, experiment, compared.get(experiment.name)) for experiment in contents.experiments]


def _line(contents: Contents, experiment: ExperimentResult, compared: ComparedScore | None) -> tuple[str, ...]:
    return (
        experiment.name,
        f"{experiment.statuses.succeeded} of {experiment.statuses.trials}",
        _mean(contents, experiment),
        *_comparison(compared),
        f"{experiment.cost_usd:.4f}",
    )


def _mean(contents: Contents, experiment: ExperimentResult) -> str:
    if contents.primary is None:
        return "-"
    metric = experiment.metrics[contents.primary]
    mean = wording.value(metric.mean, metric.kind, metric.interval)
    return f"{mean} ({wording.value_range(metric.interval, metric.kind)})"


def _comparison(compared: ComparedScore | None) -> tuple[str, str, str]:
    if compared is None:
        return ("baseline", "", "")
    result = compared.result
    difference = wording.difference(result.difference, result.kind, result.interval)
    between = wording.difference_range(result.interval, result.kind)
    return (f"{difference} ({between})", wording.p_digits(result.p_adjusted), str(result.verdict))
