"""The report as one HTML file: no request leaves it, nothing in it can run but its own few lines of script.

`render_html` lays out `Contents` with `templates/report.html.j2`; style and script are pinned by their digests.
"""

import base64
import hashlib
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from assay.reporting import wording
from assay.reporting.contents import ComparedScore, Contents
from assay.reporting.plots import Axis, Mark, Tone, axis_over, interval_plot, track
from assay.scoring.base import ScoreKind
from assay.scoring.results import Comparison, Verdict

TEMPLATES = Path(__file__).with_name("templates")

TONES: dict[Verdict, Tone] = {
    "better": "better",
    "worse": "worse",
    "no difference shown": "open",
    "not enough data": "lacking",
}

_CODE = re.compile(r"`([^`]+)`")
_P_VALUE = re.compile(r"\bp (=|&lt;) (?=\d)")
_UNIT_SPACE = re.compile(r"(?<=\d) (?=%|s\b|USD|points)")


def render_html(contents: Contents) -> str:
    """The whole report as the text of one HTML file; the same contents give the same text."""
    style, script = _text("report.css"), _text("report.js")
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            contents=contents,
            style=Markup(style),  # noqa: S704  our own file
            script=Markup(script),  # noqa: S704  our own file
            policy=_policy(style, script),
            score_plot=_score_plot,
            forest_plot=_forest_plot,
            card_track=_card_track,
            tones=TONES,
            wording=wording,
        )
    )


def _policy(style: str, script: str) -> str:
    """A content security policy under which only exactly this style and this script count."""
    return (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}';"
        " base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def _text(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: "" if value is None else value,
    )
    environment.filters |= {"prose": _prose, "unbroken": _unbroken}
    return environment


def _prose(sentence: str) -> Markup:
    """A sentence of ours with names of others in it: escaped first, then `code` is set and units stay with numbers."""
    with_code = _CODE.sub(r"<code>\1</code>", str(escape(sentence)))
    return Markup(_unbroken(with_code))  # noqa: S704  escaped above


def _unbroken(text: str) -> str:
    """Keeps a number and its unit, and a p and its value, on one line."""
    return _UNIT_SPACE.sub("\u00a0", _P_VALUE.sub("p\u00a0\\1\u00a0", text))


def _score_plot(contents: Contents, score: str) -> Markup:
    """Every experiment's mean with its interval; the baseline's mean runs through all lines. Empty without any mean."""
    metrics = [(experiment, experiment.metrics[score]) for experiment in contents.experiments]
    if all(metric.mean is None for _, metric in metrics):
        return Markup()
    kind = metrics[0][1].kind
    ends = [end for _, metric in metrics for end in (metric.interval.low, metric.interval.high, metric.mean)]
    axis = axis_over(ends, (0.0, 1.0) if kind == "binary" else None)
    verdicts = {one.variant: one.result.verdict for one in contents.comparisons if one.score == score}
    marks = [
        Mark(
            label=experiment.name,
            shown=wording.value(metric.mean, kind, metric.interval) if metric.n_scored else "no scores",
            estimate=metric.mean,
            low=metric.interval.low,
            high=metric.interval.high,
            tone="baseline" if experiment.baseline else TONES[verdicts[experiment.name]],
            detail=wording.value_range(metric.interval, kind) if metric.interval.low is not None else "",
        )
        for experiment, metric in metrics
    ]
    title = f"{score} per experiment, with {wording.level(metrics[0][1].interval)} intervals"
    plot = interval_plot(title, marks, axis, _value_tick(kind), reference=metrics[0][1].mean)
    return Markup(plot)  # noqa: S704  plots escape their labels


def _forest_plot(contents: Contents, score: str) -> Markup:
    """Every variant's difference to the baseline, with zero as the line between. Empty without any difference."""
    compared = [one for one in contents.comparisons if one.score == score]
    results = [one.result for one in compared]
    if all(result.difference is None for result in results):
        return Markup()
    axis = _difference_axis(results)
    captions = ("← worse", "better →") if results[0].goal == "maximise" else ("← better", "worse →")
    title = f"Difference to {contents.baseline} on {score}, with {wording.level(results[0].interval)} intervals"
    marks = [_difference_mark(one) for one in compared]
    plot = interval_plot(title, marks, axis, _difference_tick(results[0].kind), reference=0.0, captions=captions)
    return Markup(plot)  # noqa: S704  plots escape their labels


def _card_track(contents: Contents, compared: ComparedScore) -> Markup:
    """One difference as a small picture, on the same axis as all others of its score."""
    axis = _difference_axis([one.result for one in contents.comparisons if one.score == compared.score])
    title = f"Difference of {compared.variant} to {contents.baseline}"
    return Markup(track(title, _difference_mark(compared), axis, 0.0))  # noqa: S704  plots escape their labels


def _difference_axis(results: list[Comparison]) -> Axis:
    ends = [end for result in results for end in _extent(result)]
    return axis_over([*ends, 0.0])


def _extent(result: Comparison) -> tuple[float | None, ...]:
    return (result.difference, result.interval.low, result.interval.high, *(_band(result) or ()))


def _difference_mark(compared: ComparedScore) -> Mark:
    result = compared.result
    has_interval = result.interval.low is not None and result.interval.high is not None
    return Mark(
        label=compared.variant,
        shown="not enough data"
        if result.difference is None
        else wording.difference(result.difference, result.kind, result.interval),
        estimate=result.difference,
        low=result.interval.low,
        high=result.interval.high,
        tone=TONES[result.verdict],
        band=_band(result),
        detail=wording.difference_range(result.interval, result.kind) if has_interval else "",
    )


def _band(result: Comparison) -> tuple[float, float] | None:
    """Where the difference could lie with the missing scores, when any are missing and the difference is drawn."""
    bounds = result.bounds
    if result.n_rows == result.n_pairs or result.difference is None or bounds.low is None or bounds.high is None:
        return None
    return bounds.low, bounds.high


def _value_tick(kind: ScoreKind) -> Callable[[float], str]:
    return (lambda value: f"{value * 100:.10g}\u00a0%") if kind == "binary" else (lambda value: f"{value:.10g}")


def _difference_tick(kind: ScoreKind) -> Callable[[float], str]:
    scale = 100 if kind == "binary" else 1
    return lambda value: f"{value * scale:+.10g}".replace("-", wording.MINUS) if value else "0"
