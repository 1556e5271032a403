"""Which plots a report has, and what of its contents each shows. `html.py` calls these; `plots/` draws.

Each is empty markup when there is nothing to draw.
"""

from collections.abc import Sequence
from dataclasses import replace

from markupsafe import Markup

from assay.reporting import wording
from assay.reporting.contents import ComparedScore, Contents, ExperimentResult
from assay.reporting.plots.frame import Axis, TickLabel, Tone, axis_over
from assay.reporting.plots.histograms import Histogram, histograms
from assay.reporting.plots.intervals import Mark, interval_plot, track
from assay.reporting.plots.scatter import LEFT_PERCENT, Point, numbered, scatter
from assay.reporting.plots.times import Times, times_plot
from assay.reporting.trade_offs import cost_per_thousand
from assay.scoring.base import ScoreKind
from assay.scoring.results import Comparison, Verdict

MOST_NARROW_LABELS = 4

TONES: dict[Verdict, Tone] = {
    "better": "better",
    "worse": "worse",
    "no difference shown": "open",
    "not enough data": "lacking",
}


def score_figure(contents: Contents, score: str) -> Markup:
    """Every experiment's mean with its interval; the baseline's mean, if it is there, runs through all lines."""
    metrics = [(experiment, experiment.metrics[score]) for experiment in contents.experiments]
    if all(metric.mean is None for _, metric in metrics):
        return Markup()
    kind = metrics[0][1].kind
    ends = [end for _, metric in metrics for end in (metric.interval.low, metric.interval.high, metric.mean)]
    marks = [
        Mark(
            label=experiment.name,
            shown=wording.value(metric.mean, kind, metric.interval) if metric.n_scored else "no scores",
            estimate=metric.mean,
            low=metric.interval.low,
            high=metric.interval.high,
            tone=_tone(contents, experiment, score),
            detail=wording.value_range(metric.interval, kind) if metric.interval.low is not None else "",
        )
        for experiment, metric in metrics
    ]
    title = f"{score} per experiment, with {wording.level(metrics[0][1].interval)} intervals"
    axis = axis_over(ends, _limits(kind))
    reference = metrics[0][1].mean if metrics[0][0].baseline else None  # a view may be without the baseline
    return _safe(interval_plot(title, marks, axis, _value_tick(kind), reference=reference))


def forest_figure(contents: Contents, score: str) -> Markup:
    """Every variant's difference to the baseline, with zero as the line between and the margin of equivalence."""
    compared = [one for one in contents.comparisons if one.score == score]
    results = [one.result for one in compared]
    if all(result.difference is None for result in results):
        return Markup()
    captions = ("← worse", "better →") if results[0].goal == "maximise" else ("← better", "worse →")
    title = f"Difference to {contents.baseline} on {score}, with {wording.level(results[0].interval)} intervals"
    plot = interval_plot(
        title,
        [_difference_mark(one) for one in compared],
        _difference_axis(results),
        _difference_tick(results[0].shown_kind),
        reference=0.0,
        captions=captions,
        margin=margin_of(results),
    )
    return _safe(plot)


def card_track(contents: Contents, compared: ComparedScore) -> Markup:
    """One difference as a small picture, on the same axis as all others of its score."""
    axis = _difference_axis([one.result for one in contents.comparisons if one.score == compared.score])
    title = f"Difference of {compared.variant} to {contents.baseline}"
    return _safe(track(title, _difference_mark(compared), axis, 0.0))


def distribution_figure(contents: Contents, score: str) -> Markup:
    """A numeric score's values in every experiment, as histograms on one axis; its mean is marked."""
    shown = [(one, found) for one in contents.experiments if (found := one.distributions.get(score))]
    if not shown or contents.experiments[0].metrics[score].kind == "binary":
        return Markup()
    lines = [
        Histogram(
            label=experiment.name,
            shown=f"n = {wording.count(sum(found.counts))}",
            edges=found.edges,
            counts=found.counts,
            tone=_tone(contents, experiment, score),
            centre=experiment.metrics[score].mean,
        )
        for experiment, found in shown
    ]
    edges = [edge for _, found in shown for edge in found.edges]
    axis = axis_over(edges, (min(edges), max(edges)))
    return _safe(histograms(f"How often which value of {score} was given", lines, axis, _value_tick("numeric")))


def cost_figure(contents: Contents) -> Markup:
    """The deciding score against the cost of 1,000 answered trials, a point per experiment."""
    score = contents.primary
    if score is None:
        return Markup()
    points = [point for one in contents.experiments if (point := _cost_point(contents, one, score))]
    if len(points) < 2 or not any(point.x for point in points):
        return Markup()
    kind = contents.experiments[0].metrics[score].kind
    ends = [end for point in points for end in (point.y, point.low, point.high)]
    legend = cost_legend(contents)
    if legend:
        points = [replace(point, label=str(legend.index(point.name) + 1)) for point in points]
    across = axis_over([*(point.x for point in points), 0.0], (0.0, float("inf")), left=LEFT_PERCENT)
    axes = across, axis_over(ends, _limits(kind))
    names = "USD per 1,000 answered trials", score
    return _safe(scatter(f"{score} against cost", points, axes, (_plain_tick, _value_tick(kind)), names))


def cost_legend(contents: Contents) -> list[str]:
    """The names that the numbers of `cost_figure` stand for, in order; none when the points bear their names."""
    names = [one.name for one in contents.experiments]
    return names if numbered(names) else []


def times_figure(contents: Contents) -> Markup:
    """How long the answers of every experiment took."""
    timed = [(one, one.latency) for one in contents.experiments if one.latency]
    if not timed:
        return Markup()
    lines = [
        Times(
            label=experiment.name,
            shown=wording.seconds(latency.p50_seconds),
            detail=f"95 %: {wording.seconds(latency.p95_seconds)}",
            median=latency.p50_seconds,
            slow=latency.p95_seconds,
            far=latency.p99_seconds,
            first=latency.first_token_p50_seconds,
            tone="baseline" if experiment.baseline else "open",
        )
        for experiment, latency in timed
    ]
    ends = [end for line in lines for end in (line.slow, line.far, line.first)]
    axis = axis_over([*ends, 0.0])
    return _safe(times_plot("Seconds that answers took", lines, axis, lambda value: f"{value:.10g}\u00a0s"))


def is_wide(contents: Contents, score: str) -> bool:
    """Whether a confusion of this score has more labels than fit beside another one's."""
    found = [one.confusions[score] for one in contents.experiments if score in one.confusions]
    return max(len(confusion.counts) for confusion in found) > MOST_NARROW_LABELS


def margin_of(results: Sequence[Comparison]) -> float | None:
    """The margin within which differences count as equivalent, where the suite asks for one."""
    return next((result.equivalence.margin for result in results if result.equivalence), None)


def _cost_point(contents: Contents, experiment: ExperimentResult, score: str) -> Point | None:
    metric, cost = experiment.metrics[score], cost_per_thousand(experiment)
    if metric.mean is None or cost is None:
        return None
    interval = metric.interval
    tone = _tone(contents, experiment, score)
    return Point(experiment.name, float(cost), metric.mean, interval.low, interval.high, tone, experiment.name)


def _tone(contents: Contents, experiment: ExperimentResult, score: str) -> Tone:
    verdicts = (one for one in contents.comparisons if (one.variant, one.score) == (experiment.name, score))
    found = next(verdicts, None)
    if found is not None:
        return TONES[found.result.verdict]
    return "baseline" if experiment.baseline else "open"


def _difference_axis(results: Sequence[Comparison]) -> Axis:
    margin = margin_of(results) or 0.0
    return axis_over([*(end for result in results for end in _extent(result)), -margin, margin])


def _extent(result: Comparison) -> tuple[float | None, ...]:
    return (result.difference, result.interval.low, result.interval.high, *(_band(result) or ()))


def _difference_mark(compared: ComparedScore) -> Mark:
    result = compared.result
    has_interval = result.interval.low is not None and result.interval.high is not None
    return Mark(
        label=compared.variant,
        shown="not enough data"
        if result.difference is None
        else wording.difference(result.difference, result.shown_kind, result.interval),
        estimate=result.difference,
        low=result.interval.low,
        high=result.interval.high,
        tone=TONES[result.verdict],
        band=_band(result),
        detail=wording.difference_range(result.interval, result.shown_kind) if has_interval else "",
    )


def _band(result: Comparison) -> tuple[float, float] | None:
    """Where the difference could lie with the missing scores, when any are missing and the difference is drawn."""
    bounds = result.bounds
    if result.n_rows == result.n_pairs or result.difference is None or bounds.low is None or bounds.high is None:
        return None
    return bounds.low, bounds.high


def _limits(kind: ScoreKind) -> tuple[float, float] | None:
    return (0.0, 1.0) if kind == "binary" else None


def _plain_tick(value: float) -> str:
    return f"{value:.10g}".replace("-", wording.MINUS)


def _value_tick(kind: ScoreKind) -> TickLabel:
    return (lambda value: f"{value * 100:.10g}\u00a0%") if kind == "binary" else _plain_tick


def _difference_tick(kind: ScoreKind) -> TickLabel:
    scale = 100 if kind == "binary" else 1
    return lambda value: f"{value * scale:+.10g}".replace("-", wording.MINUS) if value else "0"


def _safe(plot: str) -> Markup:
    return Markup(plot)  # noqa: S704  plots escape their labels
