"""The report as Markdown, for the body of a pull request: the same order as the HTML report, and shorter.

Whatever a model or a dataset said is escaped, so that it can neither format, link, mention anybody nor break a table.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from assay.reporting import wording
from assay.reporting.contents import ComparedScore, Contents, ExperimentResult
from assay.reporting.judge_sentences import judge_sentences
from assay.reporting.recommendation import recommend
from assay.reporting.samples import Disagreement, Side, Trouble, cut
from assay.reporting.trade_offs import cost_per_thousand
from assay.scoring.results import Metric
from assay.storage.bundle_names import MANIFEST_NAME, PUBLIC_KEY_NAME, SIGNATURE_NAME

MOST_DISAGREEMENTS = 3
MOST_BAD_ROWS = 5
MOST_CHARACTERS = 160

_SYMBOLS = {"better": "▲", "worse": "▼", "no difference shown": "◆", "not enough data": "◌"}
_ZERO_WIDTH_SPACE = "&#8203;"

_INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_FORMATTING = re.compile(r"([\\`*_\[\]!|~$#])")
_LINE_START = re.compile(r"^(\d*)([-+=.)])(?=[-=\s]|$)")
_AUTOMATIC_LINK = re.compile(r"(@|#|:(?=//)|\bwww(?=\.)|\bGH(?=-))", re.IGNORECASE)
_CODE = re.compile(r"`([^`]+)`")
_SAFE_CODE = re.compile(r"[\w .:-]+", re.ASCII)


def render_markdown(contents: Contents) -> str:
    """The report as GitHub-flavoured Markdown; the same contents give the same text."""
    sections = [
        _opening(contents),
        _verdicts(contents),
        _comparisons(contents),
        _scores(contents),
        _judges(contents),
        _costs(contents),
        _disagreements(contents),
        _trouble(contents),
        _provenance(contents),
    ]
    return "\n\n".join("\n".join(lines) for section in sections if (lines := list(section))) + "\n"


def escaped(text: str, limit: int = MOST_CHARACTERS) -> str:
    """Foreign text as one harmless line, cut at `limit` characters."""
    line = " ".join(_INVISIBLE.sub(" ", cut(text, limit)).split())
    without_html = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    literal = _LINE_START.sub(r"\1\\\2", _FORMATTING.sub(r"\\\1", without_html))
    return _AUTOMATIC_LINK.sub(rf"\1{_ZERO_WIDTH_SPACE}", literal)


def _opening(contents: Contents) -> Iterator[str]:
    run = contents.run
    yield f"# {_prose(contents.headline)}"
    yield ""
    if run.description:
        yield escaped(run.description)
        yield ""
    if contents.view:
        yield _prose(contents.view.sentence)
        yield ""
    begun = f"{run.created_at:%Y-%m-%d %H:%M %Z}"
    yield (
        f"**{wording.noun(run.rows, 'row')}**, {wording.noun(len(contents.experiments), 'experiment')},"
        f" {wording.noun(run.trials, 'trial')} ({wording.count(contents.unanswered)} without an answer),"
        f" {wording.usd(contents.cost_usd)}. Run `{run.run}` of suite `{run.suite}`, begun {begun}."
    )
    first, *others = (contents.recommendation or recommend(contents)).splitlines()
    yield ""
    yield f"**{_prose(first)}**"
    yield from (f"- {_prose(line)}" for line in others)


def _verdicts(contents: Contents) -> Iterator[str]:
    if not contents.primary_comparisons:
        return
    yield "## Verdict"
    yield ""
    for one in contents.primary_comparisons:
        missing = f" {_prose(one.missing_sentence)}" if one.missing_sentence else ""
        yield f"- {_SYMBOLS[one.result.verdict]} {_prose(one.sentence)}{missing}"
    if contents.early_stop_sentences:
        yield ""
        yield from (f"- {_prose(sentence)}" for sentence in contents.early_stop_sentences)


def _scores(contents: Contents) -> Iterator[str]:
    if not contents.scores:
        return
    yield "## Scores"
    yield ""
    yield from _table(
        ("Score", "Experiment", "Mean", "Interval", "Scored", "Missing"),
        "llrrrr",
        (
            _score_cells(score, experiment, experiment.metrics[score])
            for score in contents.scores
            for experiment in contents.experiments
        ),
    )


def _judges(contents: Contents) -> Iterator[str]:
    if not contents.judges:
        return
    yield "## Judges"
    yield ""
    for judge in contents.judges:
        yield f"- {_code(judge.name)}: {' '.join(_prose(sentence) for sentence in judge_sentences(judge))}"


def _score_cells(score: str, experiment: ExperimentResult, metric: Metric) -> Sequence[str]:
    return (
        _code(score),
        f"{escaped(experiment.name)}{' (baseline)' if experiment.baseline else ''}",
        wording.value(metric.mean, metric.kind, metric.interval),
        wording.value_range(metric.interval, metric.kind),
        wording.count(metric.n_scored),
        wording.count(metric.missing.total),
    )


def _comparisons(contents: Contents) -> Iterator[str]:
    if not contents.comparisons:
        return
    yield f"## Differences to {escaped(contents.baseline)}"
    yield ""
    headings = (
        "Score",
        "Variant",
        "Verdict",
        "Difference",
        "Interval",
        f"p ({contents.comparisons[0].result.correction})",
        "Effect",
        "Pairs",
        "Missing",
        "Test",
    )
    yield from _table(headings, "lllrrrrrrl", map(_comparison_cells, contents.comparisons))


def _comparison_cells(one: ComparedScore) -> Sequence[str]:
    result = one.result
    return (
        _code(one.score),
        escaped(one.variant),
        f"{_SYMBOLS[result.verdict]} {result.verdict}",
        wording.difference(result.difference, result.shown_kind, result.interval),
        wording.difference_range(result.interval, result.shown_kind),
        wording.p_digits(result.p_adjusted),
        wording.effect(result.effect),
        wording.count(result.n_pairs),
        wording.count(result.n_rows - result.n_pairs),
        result.test,
    )


def _costs(contents: Contents) -> Iterator[str]:
    yield "## Cost and time"
    yield ""
    headings = (
        "Experiment",
        "Answered by",
        "Input tokens",
        "Output tokens",
        "Cost",
        "1,000 answers",
        "Time, half",
        "Time, 95 %",
    )
    yield from _table(headings, "llrrrrrr", map(_cost_cells, contents.experiments))
    if contents.deployment_sentences:
        yield ""
        yield from (f"- {_prose(sentence)}" for sentence in contents.deployment_sentences)
    if any(len(one.by_criterion) > 1 for one in contents.experiments):
        yield ""
        columns = ("Experiment", "Criterion", "Answers", "From the cache", "Cost", "Of which thrown away")
        yield from _table(columns, "llrrrr", _criterion_cells(contents))
    if contents.cost_sentences:
        yield ""
        yield from (f"- {_prose(sentence)}" for sentence in contents.cost_sentences)
    if contents.prices.unpriced_models:
        models = wording.listed([escaped(model) for model in contents.prices.unpriced_models])
        yield ""
        yield f"No price is known for {models}; costs leave those answers out."
    if contents.shortcut_sentences:
        yield ""
        yield from (f"- {_prose(sentence)}" for sentence in contents.shortcut_sentences)


def _cost_cells(experiment: ExperimentResult) -> Sequence[str]:
    latency, per_thousand = experiment.latency, cost_per_thousand(experiment)
    return (
        escaped(experiment.name),
        ", ".join(escaped(model) for model in experiment.models) or wording.NOTHING,
        wording.count(experiment.usage.input_tokens),
        wording.count(experiment.usage.output_tokens),
        wording.usd(experiment.cost_usd),
        wording.NOTHING if per_thousand is None else wording.usd(per_thousand),
        wording.seconds(latency.p50_seconds if latency else None),
        wording.seconds(latency.p95_seconds if latency else None),
    )


def _criterion_cells(contents: Contents) -> Iterator[Sequence[str]]:
    for experiment in contents.experiments:
        for criterion, cost in experiment.by_criterion.items():
            yield (
                escaped(experiment.name),
                escaped(criterion),
                wording.count(cost.answers),
                wording.count(cost.cached),
                wording.usd(cost.spent_usd),
                wording.usd(cost.discarded_usd),
            )


def _disagreements(contents: Contents) -> Iterator[str]:
    if not any(contents.disagreements.values()):
        return
    yield "## Where they disagree"
    for variant, rows in contents.disagreements.items():
        if rows:
            yield ""
            headings = ("Row", "Expected", escaped(contents.baseline), escaped(variant))
            yield from _table(headings, "llll", map(_disagreement_cells, rows[:MOST_DISAGREEMENTS]))


def _disagreement_cells(row: Disagreement) -> Sequence[str]:
    expected = wording.NOTHING if row.expected is None else escaped(row.expected)
    return escaped(row.row_id), expected, _side(row.baseline), _side(row.variant)


def _side(side: Side) -> str:
    answers = "; ".join(escaped(answer.text) for answer in side.answers)
    return answers if side.score is None else f"{answers} → {wording.plain(side.score)}"


def _trouble(contents: Contents) -> Iterator[str]:
    yield "## What went wrong"
    yield ""
    names = ("succeeded", "failed", "blocked", "skipped", "without_outcome")
    headings = ("Experiment", "Succeeded", "Failed", "Blocked", "Skipped", "Without outcome")
    yield from _table(
        headings,
        "lrrrrr",
        (
            (escaped(one.name), *(wording.count(getattr(one.statuses, name)) for name in names))
            for one in contents.experiments
        ),
    )
    items = [
        *(_trouble_item("Failed", group) for group in contents.failures),
        *(_trouble_item("Blocked", group) for group in contents.blocked),
        *(_trouble_item("Not scored", group) for group in contents.unscored),
        *_set_aside(contents),
    ]
    if items:
        yield ""
        yield from items


def _trouble_item(what: str, group: Trouble) -> str:
    said = f"- {what}, {_code(group.kind)}: {wording.noun(group.count, 'trial')}."
    if not group.samples:  # a view has none
        return said
    first = group.samples[0]
    request = f", request {escaped(first.request_id)}" if first.request_id else ""
    example = f"{escaped(first.row_id)} ({escaped(first.experiment)}{request}): {escaped(first.message)}"
    return f"{said} First: {example}"


def _set_aside(contents: Contents) -> Iterator[str]:
    if contents.run.bad_rows:
        yield f"- {wording.noun(contents.run.bad_rows, 'bad row')} set aside{':' if contents.bad_rows else ''}"
        for row in contents.bad_rows[:MOST_BAD_ROWS]:
            yield f"  - line {row.line}: {escaped(row.reason)}"
    if contents.quarantined_messages:
        yield f"- {wording.noun(contents.quarantined_messages, 'queue message')} could not be processed"


def _provenance(contents: Contents) -> Iterator[str]:
    run = contents.run
    versions = ", ".join(f"{escaped(name)} {escaped(version)}" for name, version in run.versions.items())
    yield "## Provenance"
    yield ""
    yield f"- Dataset: {escaped(run.dataset.file)}, `sha256:{run.dataset.sha256}`"
    yield f"- Suite: `sha256:{run.suite_sha256}`, seed {run.seed}"
    yield f"- Versions: {versions or 'not recorded'}"
    yield f"- Prices as of {contents.prices.as_of}"
    yield "- Verify: `assay verify .` in the bundle's folder, or"
    yield f"  `openssl dgst -sha256 -verify {PUBLIC_KEY_NAME} -signature {SIGNATURE_NAME} {MANIFEST_NAME}`"


def _prose(sentence: str) -> str:
    """A sentence of ours: names in backticks become code, everything around them is escaped."""
    parts = _CODE.split(sentence)
    return "".join(_code(part) if at % 2 else _padded(part) for at, part in enumerate(parts))


def _padded(part: str) -> str:
    """Escaping strips white space, which here stands between the parts of a sentence."""
    before = " " if part[:1].isspace() else ""
    after = " " if part.strip() and part[-1:].isspace() else ""
    return f"{before}{escaped(part, limit=2_000)}{after}"


def _code(name: str) -> str:
    return f"`{name}`" if _SAFE_CODE.fullmatch(name) else escaped(name)


def _table(headings: Sequence[str], alignment: str, rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """`alignment` has an l or r per column; cells must be escaped."""
    yield _table_line(headings)
    yield _table_line(["---:" if side == "r" else "---" for side in alignment])
    yield from map(_table_line, rows)


def _table_line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
