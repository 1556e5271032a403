"""The files of a view, made of a run's whole bundle. The seal step calls it, once per view of the suite."""

from contextlib import suppress
from pathlib import Path

from assay.reporting import html, markdown, workbook
from assay.reporting.contents import Contents
from assay.reporting.redacted_contents import Redactor
from assay.reporting.redacted_selection import selected
from assay.reporting.redacted_tables import Redaction, result_columns_of, write_redacted_results
from assay.storage.bundle_names import REPORT_HTML, REPORT_MD, REPORT_XLSX, SUITE_FILE, SUMMARY
from assay.suite.levels import Level, is_above
from assay.suite.redacted_views import View, treatments

NAMING = ("model", "deployment")
"""Columns of which the suite file says too what is in them."""


def write_view(bundle: Path, view: View, suite_level: Level, key: bytes, target: Path) -> Redaction:
    """Writes the files of a view into the folder `target`, and returns what became of the columns.

    Nothing else of the bundle goes into it. The same bundle and key give the same bytes.
    """
    redaction = Redaction(treatments(view.columns, result_columns_of(bundle)), key, frozenset(view.experiments))
    write_redacted_results(bundle, redaction, target)
    has_suite = not is_above(suite_level, view.level)
    whole = selected(Contents.model_validate_json((bundle / SUMMARY).read_bytes()), view.experiments)
    contents = Redactor(view.name, redaction, has_suite).contents(whole)
    (target / SUMMARY).write_text(contents.model_dump_json(indent=1) + "\n", encoding="utf-8")
    source = ""
    if has_suite and not view.experiments and all(map(redaction.keeps, NAMING)):  # it names all experiments
        source = (bundle / SUITE_FILE).read_bytes().decode()
        (target / SUITE_FILE).write_bytes(source.encode())
    (target / REPORT_HTML).write_text(html.render_html(contents, None, source), encoding="utf-8", newline="")
    (target / REPORT_MD).write_text(markdown.render_markdown(contents), encoding="utf-8", newline="")
    with suppress(ModuleNotFoundError):
        (target / REPORT_XLSX).write_bytes(workbook.render_workbook(contents, None))
    return redaction
