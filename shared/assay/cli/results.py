"""The result of a run in the terminal: the comparison with the baseline as a table."""

from assay.reporting import wording
from assay.reporting.contents import ComparedScore, Contents, ExperimentResult


def headings(contents: Contents) -> tuple[str, ...]:
    """Of the columns of `comparison_table`; p-values are named with their correction."""
    corrections = {compared.result.correction for compared in contents.primary_comparisons}
    corrected = f"p ({', '.join(sorted(corrections))})" if any(corrections) else "p"
    return ("experiment", "value", "interval", "difference", "interval", corrected, "verdict")


def comparison_table(contents: Contents) -> list[tuple[str, ...]]:
    """One line per experiment for the primary score, in the order of `headings`."""
    compared = {one.variant: one for one in contents.primary_comparisons}
    return [_line(contents.primary, experiment, compared.get(experiment.name)) for experiment in contents.experiments]


def unanswered_sentence(contents: Contents) -> str:
    """How many trials have no answer, and why; empty when all have one."""
    statuses = [experiment.statuses for experiment in contents.experiments]
    counts = {
        "failed": sum(one.failed for one in statuses),
        "blocked": sum(one.blocked for one in statuses),
        "skipped": sum(one.skipped for one in statuses),
    }
    said = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    return f"{sum(counts.values())} trials have no answer: {said}." if said else ""


def _line(primary: str | None, experiment: ExperimentResult, compared: ComparedScore | None) -> tuple[str, ...]:
    if primary is None:
        return (experiment.name, "-", "", "", "", "", "")
    metric = experiment.metrics[primary]
    value = wording.value(metric.mean, metric.kind, metric.interval)
    return (experiment.name, value, wording.value_range(metric.interval, metric.kind), *_comparison(compared))


def _comparison(compared: ComparedScore | None) -> tuple[str, str, str, str]:
    if compared is None:
        return ("", "", "", "baseline")
    result = compared.result
    return (
        wording.signed(result.difference, result.shown_kind, result.interval),
        wording.difference_range(result.interval, result.shown_kind),
        wording.p_digits(result.p_adjusted),
        str(result.verdict),
    )
