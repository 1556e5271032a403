"""The report as one HTML file: no request leaves it, nothing in it can run but its own script.

`render_html` lays out `Contents` with `templates/report.html.j2`; style and script are pinned by their digests.
"""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from assay.reporting import figures, wording
from assay.reporting.comparison_facts import comparison_facts
from assay.reporting.contents import Contents
from assay.reporting.fact_tables import aggregate_tables, comparer_tables, confusion_lines, confusion_names
from assay.reporting.judge_sentences import judge_sentences
from assay.reporting.recommendation import recommend
from assay.reporting.trade_offs import cost_per_thousand
from assay.reporting.trial_page import PackedTrials

TEMPLATES = Path(__file__).with_name("templates")

_CODE = re.compile(r"`([^`]+)`")
_P_VALUE = re.compile(r"\bp (=|&lt;) (?=\d)")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")
_UNIT_SPACE = re.compile(r"(?<=\d) (?=%|s\b|USD|points)")


def render_html(contents: Contents, trials: PackedTrials | None = None, suite_source: str = "") -> str:
    """The whole report as the text of one HTML file; the same arguments give the same text.

    `trials` are for the table of trials, `suite_source` is the suite as it was written; without them the page has
    neither. Control characters, which no HTML may hold, become U+FFFD.
    """
    style, script = _text("report.css"), f"{_text('report.js')}\n{_text('trials.js')}"
    page = (
        _environment()
        .get_template("report.html.j2")
        .render(
            contents=contents,
            trials=trials,
            suite_source=suite_source,
            style=Markup(style),  # noqa: S704  our own file
            script=Markup(script),  # noqa: S704  our own file
            policy=_policy(style, script),
            figures=figures,
            tones=figures.TONES,
            wording=wording,
            recommendation=(contents.recommendation or recommend(contents)).splitlines(),
            comparison_facts=comparison_facts,
            cost_per_thousand=cost_per_thousand,
            aggregate_tables=aggregate_tables,
            comparer_tables=comparer_tables,
            confusion_lines=confusion_lines,
            confusion_names=confusion_names,
            judge_sentences=judge_sentences,
        )
    )
    return _CONTROLS.sub("\ufffd", page)


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
    environment.tests["contains"] = lambda holder, name: name in holder
    environment.filters |= {"prose": _prose, "unbroken": _unbroken}
    return environment


def _prose(sentence: str) -> Markup:
    """A sentence of ours with names of others in it: escaped first, then `code` is set and units stay with numbers."""
    with_code = _CODE.sub(r"<code>\1</code>", str(escape(sentence)))
    return Markup(_unbroken(with_code))  # noqa: S704  escaped above


def _unbroken(text: str) -> str:
    """Keeps a number and its unit, and a p and its value, on one line."""
    return _UNIT_SPACE.sub("\u00a0", _P_VALUE.sub("p\u00a0\\1\u00a0", text))
