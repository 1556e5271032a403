"""The report as an Excel workbook, `report.xlsx`: summary, experiments, comparisons, trials and failures as sheets.

`render_workbook` needs openpyxl (the extra `xlsx`); the report step leaves the workbook out where it is not installed.
"""

import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from io import BytesIO
from typing import Any

from assay.reporting import wording
from assay.reporting.contents import ComparedScore, Contents, ExperimentResult
from assay.reporting.recommendation import recommend
from assay.reporting.samples import cut
from assay.reporting.trade_offs import cost_per_thousand
from assay.reporting.trial_table import TrialTable

Cell = str | int | float | Decimal | bool | None
Lines = Iterable[Sequence[Cell]]

MOST_CELL_CHARACTERS = 32_000
"""Excel's own limit is 32,767."""
MOST_WIDTH = 60

_FORMULA_STARTS = ("=", "+", "-", "@", "#", "\t", "\r", "\n")
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_MODIFIED = re.compile(rb"(<dcterms:modified[^>]*>)[^<]*(</dcterms:modified>)")
_EARLIEST = (1980, 1, 1, 0, 0, 0)


def render_workbook(contents: Contents, table: TrialTable | None) -> bytes:
    """The workbook's bytes; the same arguments give the same ones. Raises ImportError where openpyxl is missing.

    Without a table there is no sheet of trials. Whatever a model or a dataset said is a text cell, never a formula.
    """
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    book.properties.creator = "Assay"
    book.properties.created = book.properties.modified = contents.run.created_at.replace(tzinfo=None)
    _sheet(book, "Summary", ("", ""), _summary(contents), (26, 110))
    _sheet(book, "Experiments", _experiment_head(contents), _experiments(contents))
    _sheet(book, "Comparisons", _COMPARISON_HEAD, map(_comparison, contents.comparisons))
    if table is not None:
        _sheet(book, "Trials", _trial_head(table), _trials(table))
    _sheet(book, "Failures", ("What", "Kind", "Trials", "Row", "Experiment", "Message", "Request"), _failures(contents))
    written = BytesIO()
    book.save(written)
    return _timeless(written.getvalue(), contents.run.created_at.strftime("%Y-%m-%dT%H:%M:%SZ").encode())


def _sheet(book: Any, title: str, head: Sequence[str], lines: Lines, widths: Sequence[int] = ()) -> None:
    """Head frozen and bold; columns as wide as their heads, or as said."""
    from openpyxl.styles import Font
    from openpyxl.utils import get_column_letter

    sheet = book.create_sheet(title)
    for at, name in enumerate(head):
        wide = widths[at] if widths else min(MOST_WIDTH, max(12, len(name) + 3))
        sheet.column_dimensions[get_column_letter(at + 1)].width = wide
    if any(head):
        sheet.freeze_panes = "A2"
        cells = [_text_cell(sheet, name) for name in head]
        for cell in cells:
            cell.font = Font(bold=True)
        sheet.append(cells)
    for line in lines:
        sheet.append([_cell(sheet, value) for value in line])


def _cell(sheet: Any, value: Cell) -> Any:
    """What a sheet takes for a value: text that openpyxl or Excel would take for something else gets a cell."""
    if isinstance(value, Decimal):
        return float(value)
    if not isinstance(value, str):
        return value
    text = _ILLEGAL.sub("\ufffd", cut(value, MOST_CELL_CHARACTERS))
    return _text_cell(sheet, text) if text.startswith(_FORMULA_STARTS) else text


def _text_cell(sheet: Any, text: str) -> Any:
    from openpyxl.cell import WriteOnlyCell

    cell = WriteOnlyCell(sheet, value=text)
    cell.data_type = "s"  # openpyxl would take "=1+1" for a formula, "#N/A" for an error
    cell.quotePrefix = True  # and Excel, when somebody edits the cell
    return cell


def _summary(contents: Contents) -> Iterator[Sequence[Cell]]:
    run = contents.run
    yield "Result", contents.headline.replace("`", "")
    for at, line in enumerate((contents.recommendation or recommend(contents)).splitlines()):
        yield "" if at else "Recommendation", line.replace("`", "")
    if contents.view:
        yield "View", contents.view.sentence.replace("`", "")
    for one in contents.primary_comparisons:
        yield f"Verdict on {one.variant}", one.sentence.replace("`", "")
    for sentence in contents.early_stop_sentences:
        yield "Early stop", sentence.replace("`", "")
    yield "Rows", run.rows
    yield "Bad rows", run.bad_rows
    yield "Trials", run.trials
    yield "Trials without an answer", contents.unanswered
    yield "Cost, USD", contents.cost_usd
    yield "Run", run.run
    yield "Suite", f"{run.suite} (sha256:{run.suite_sha256})"
    yield "Dataset", f"{run.dataset.file} (sha256:{run.dataset.sha256})"
    yield "Begun", run.created_at.isoformat()
    yield "Seed", run.seed
    yield "Prices", f"as of {contents.prices.as_of}, {contents.prices.source}"
    yield "Versions", ", ".join(f"{name} {version}" for name, version in run.versions.items())


def _experiment_head(contents: Contents) -> Sequence[str]:
    scores = [f"{score}: {what}" for score in contents.scores for what in ("mean", "low", "high", "scored", "missing")]
    return (
        *("Experiment", "Baseline", "Deployment", "Models", "Succeeded", "Failed", "Blocked", "Skipped"),
        *("Without outcome", "Input tokens", "Output tokens", "Cost, USD", "Cost of 1,000 answers, USD"),
        *("Median time, s", "95 % time, s", "99 % time, s", "First token, s", "Tokens per second"),
        *scores,
    )


def _experiments(contents: Contents) -> Iterator[Sequence[Cell]]:
    return (_experiment(one, contents.scores) for one in contents.experiments)


def _experiment(one: ExperimentResult, scores: Sequence[str]) -> Sequence[Cell]:
    counts, latency = one.statuses, one.latency
    metrics = [one.metrics[score] for score in scores]
    return (
        *(one.name, "yes" if one.baseline else "", one.deployment, ", ".join(one.models)),
        *(counts.succeeded, counts.failed, counts.blocked, counts.skipped, counts.without_outcome),
        *(one.usage.input_tokens, one.usage.output_tokens, one.cost_usd, cost_per_thousand(one)),
        *((latency.p50_seconds, latency.p95_seconds, latency.p99_seconds) if latency else (None, None, None)),
        *((latency.first_token_p50_seconds, latency.tokens_per_second_p50) if latency else (None, None)),
        *(
            value
            for metric in metrics
            for value in (
                *(metric.mean, metric.interval.low, metric.interval.high),
                *(metric.n_scored, metric.missing.total),
            )
        ),
    )


_COMPARISON_HEAD = (
    *("Score", "Variant", "Verdict", "Why", "Baseline mean", "Variant mean", "Difference", "Low", "High", "Level"),
    *("Test", "Why this test", "p", "p adjusted", "Correction", "Effect", "Effect size", "Pairs", "Rows", "Higher"),
    *("Equal", "Lower", "Win rate", "Chance to be higher", "Smallest difference to be seen", "Equivalence margin"),
    *("Equivalent", "Lowest with missing", "Highest with missing", "Notes"),
)


def _comparison(one: ComparedScore) -> Sequence[Cell]:
    result = one.result
    equivalence, sensitivity = result.equivalence, result.sensitivity
    return (
        *(one.score, one.variant, result.verdict, result.verdict_reason, result.baseline_mean, result.variant_mean),
        *(result.difference, result.interval.low, result.interval.high, result.interval.level),
        *(result.test, result.test_reason, result.p_value, result.p_adjusted, result.correction),
        *(result.effect.name, result.effect.value, result.n_pairs, result.n_rows),
        *(result.n_higher, result.n_equal, result.n_lower, result.win_rate, result.probability_higher),
        sensitivity.minimum_difference if sensitivity else None,
        *((equivalence.margin, _yes_or_no(equivalence.shown)) if equivalence else (None, None)),
        *(result.bounds.low, result.bounds.high, " ".join(result.notes)),
    )


def _yes_or_no(value: bool | None) -> str:
    return wording.NOTHING if value is None else "yes" if value else "no"


def _trial_head(table: TrialTable) -> Sequence[str]:
    return (
        *("Row id", "Row", "Experiment", "Repeat", "Status", "Expected"),
        *(f"score.{name}" for name in table.score_names),
        *(f"answer.{name}" for name in table.criteria),
        *("Failure", "Message", "Cost, USD", "Seconds"),
    )


def _trials(table: TrialTable) -> Iterator[Sequence[Cell]]:
    scores = [table.scores[name] for name in table.score_names]
    answers = [table.answers[name] for name in table.criteria]
    for at in range(table.trials):
        yield (
            *(table.row_id[at], table.row[at], table.experiments[table.experiment[at]], table.repeat[at]),
            *(table.statuses[table.status[at]], table.expected[at]),
            *(column[at] for column in scores),
            *(column[at] for column in answers),
            *(table.failure[at], table.failure_message[at], table.cost_usd[at], table.latency_seconds[at]),
        )


def _failures(contents: Contents) -> Iterator[Sequence[Cell]]:
    for what, groups in (
        ("failed", contents.failures),
        ("blocked", contents.blocked),
        ("not scored", contents.unscored),
    ):
        for group in groups:
            if not group.samples:  # a view has none
                yield what, group.kind, group.count, None, None, None, None
            for one in group.samples:
                yield what, group.kind, group.count, one.row_id, one.experiment, one.message, one.request_id
    for row in contents.bad_rows:
        yield "bad row", row.reason, None, row.row_id, None, row.found, None


def _timeless(content: bytes, begun: bytes) -> bytes:
    """The same workbook without the time at which it was written."""
    written = BytesIO()
    with zipfile.ZipFile(BytesIO(content)) as old, zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            part = old.read(name)
            if name == "docProps/core.xml":
                part = _MODIFIED.sub(rb"\g<1>" + begun + rb"\g<2>", part)
            new.writestr(zipfile.ZipInfo(name, _EARLIEST), part, zipfile.ZIP_DEFLATED)
    return written.getvalue()
