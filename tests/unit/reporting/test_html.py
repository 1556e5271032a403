"""The HTML report: one file that asks for nothing, runs nothing of others, and shows every content."""

import base64
import hashlib
import re
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser

import pytest

from assay.records import BadRow, Outcome
from assay.reporting.contents import Contents
from assay.reporting.html import render_html
from builders import (
    LABEL_SCORER,
    RATING_SCORER,
    blocked,
    failed,
    outcome,
    plan,
    rating_run,
    response,
    row,
    run_header,
    suite,
    triage_run,
)
from evaluations import evaluate

HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)>\"' {{ 7*7 }} </style> \u202egnp.exe"
VOID = {"meta", "br", "img", "input", "link", "hr"}


class Page(HTMLParser):
    """What a browser would make of a page: elements with attributes, their nesting, and texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[tuple[str, str]] = []
        self.paths: list[tuple[list[tuple[str, str]], str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, dict(attrs).get("class") or ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1][0] if self.open else "", data))
        self.paths.append((list(self.open), data))

    def all(self, tag: str) -> Iterator[dict[str, str | None]]:
        return (attributes for name, attributes in self.elements if name == tag)

    def inside(self, tag: str) -> str:
        return "".join(text for name, text in self.texts if name == tag)

    @property
    def text(self) -> str:
        return " ".join(" ".join(text for name, text in self.texts if name not in ("style", "script")).split())


@cache
def triage() -> Contents:
    run = triage_run()
    return evaluate(run.header, run.suite, run.plan, run.outcomes, run.bad_rows, 2, run.rows)


@cache
def rating() -> Contents:
    run = rating_run()
    return evaluate(run.header, run.suite, run.plan, run.outcomes, (), 0)


@cache
def mixed() -> Contents:
    of = suite(scorers=(LABEL_SCORER, RATING_SCORER | {"criterion": "queue"}))
    trials = [
        outcome(number, name, {"correct": float(number % 2), "helpfulness": number % 4 + len(name) % 2})
        for number in range(1, 11)
        for name in ("plain", "think-first", "short")
    ]
    return evaluate(run_header(of), of, plan(of, 10), trials, (), 0)


def with_outcomes(*outcomes: Outcome) -> Contents:
    return evaluate(run_header(), suite(), plan(rows=10), outcomes, (), 0)


@cache
def all_failed() -> Contents:
    names = ("plain", "think-first", "short")
    return with_outcomes(*(failed(number, name) for number in range(1, 11) for name in names))


def one_value() -> Contents:
    names = ("plain", "think-first", "short")
    return with_outcomes(*(outcome(number, name) for number in range(1, 11) for name in names))


def unscored() -> Contents:
    of = suite(scorers=())
    return evaluate(run_header(of), of, plan(of, 10), [outcome(1, "plain", {})], (), 0)


def lone() -> Contents:
    of = suite(("plain",))
    return evaluate(run_header(of), of, plan(of, 10), [outcome(1), outcome(2)], (), 0)


CASES = {
    "triage": triage,
    "rating": rating,
    "mixed kinds": mixed,
    "no outcome": with_outcomes,
    "all failed": all_failed,
    "one value": one_value,
    "no scorer": unscored,
    "lone baseline": lone,
}


@cache
def hostile() -> Contents:
    """Every text that comes from outside is an attack."""
    of = suite(
        scorers=(LABEL_SCORER | {"name": HOSTILE},),
        description=HOSTILE,
        experiments=[
            {
                "name": name,
                "description": HOSTILE,
                "baseline": name == "plain",
                "model": {"deployment": "chat"},
                "criteria": [{"name": "queue", "user": "x"}, {"name": "mood", "user": "x"}],
            }
            for name in ("plain", "other")
        ],
    )
    header = run_header(of)
    dataset = header.dataset.model_copy(update={"file": HOSTILE})
    header = header.model_copy(update={"dataset": dataset, "versions": {HOSTILE: HOSTILE}})
    answers = (
        response(HOSTILE, model=HOSTILE, cost_usd=None),
        response(HOSTILE * 1_000, "mood", finish_reason=HOSTILE),
    )
    trials = [
        *(outcome(number, "plain", {HOSTILE: 0.0}, *answers, row_id=f"{HOSTILE}{number}") for number in range(1, 9)),
        *(outcome(number, "other", {HOSTILE: 1.0}, *answers, row_id=f"{HOSTILE}{number}") for number in range(1, 9)),
        failed(9, "plain", HOSTILE, HOSTILE, request_id=HOSTILE),
        blocked(9, "other"),
        outcome(10, "plain", {HOSTILE: None}, row_id=HOSTILE),
    ]
    bad = [BadRow(line=2, reason=HOSTILE, found=HOSTILE * 1_000, row_id=HOSTILE)]
    rows = [row(number, queue=HOSTILE) for number in range(1, 11)]
    return evaluate(header, of, plan(of, 10, bad_rows=1), trials, bad, 1, rows)


@pytest.mark.parametrize("case", CASES)
def test_every_kind_of_run_gives_a_well_formed_page(case: str) -> None:
    """Rule: degenerate runs are reported, not crashed on; every element is closed; nothing reads `None` or `nan`."""
    page = Page(render_html(CASES[case]()))

    assert page.open == []
    assert not re.search(r"\b(None|nan|inf)\b", page.text)
    assert "Provenance" in page.text


def test_control_characters_of_answers_do_not_reach_the_page() -> None:
    """Rule: no HTML may hold them; a NUL ends the text for some readers. Where they stood is seen."""
    answers = {"plain": response("no\x00 \x1b[31m"), "short": response("yes\x9b")}
    scores = {"plain": 0.0, "short": 1.0}
    trials = [
        outcome(number, name, {"right": scores[name]}, answers[name], row_id=f"\x00{number}")
        for number in (1, 2)
        for name in answers
    ]
    of = suite(("plain", "short"), scorers=(LABEL_SCORER | {"name": "right"},))
    text = render_html(evaluate(run_header(of), of, plan(of, 2), trials, (), 0), None, "name: \x7f")

    assert re.findall(r"[^\n\x20-\x7e\xa0-\U0010ffff]", text) == []
    assert "no\ufffd \ufffd[31m" in text and "yes\ufffd" in text


def test_nothing_is_fetched_from_anywhere() -> None:
    """Rule: the page works offline and tells nobody that it is read."""
    text = render_html(triage())
    page = Page(text)

    tags = {tag for tag, _ in page.elements}
    links = [attributes.get("href") or "" for attributes in page.all("a")]
    assert tags.isdisjoint({"link", "img", "iframe", "object", "embed", "base", "form", "audio", "video", "source"})
    assert all(link.startswith("#") for link in links)
    assert not any("src" in attributes for _, attributes in page.elements)
    assert "url(" not in text
    assert "@import" not in text


def test_every_link_leads_somewhere_on_the_page() -> None:
    """Rule: the list of sections has no dead end."""
    for make in CASES.values():
        page = Page(render_html(make()))
        targets = {attributes.get("id") for _, attributes in page.elements}
        assert {(attributes.get("href") or "")[1:] for attributes in page.all("a")} <= targets


def test_only_our_style_and_script_may_apply() -> None:
    """Rule: the policy pins both by digest, and no attribute needs an exception."""
    page = Page(render_html(triage()))

    (policy,) = [one.get("content") or "" for one in page.all("meta") if one.get("http-equiv")]
    for tag in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(page.inside(tag).encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert not any(name == "style" or name.startswith("on") for _, attributes in page.elements for name in attributes)


def test_the_policy_stands_before_what_it_guards() -> None:
    """Rule: a policy that comes after the script does not hold for it."""
    tags = [tag for tag, _ in Page(render_html(triage())).elements]

    assert tags[:4] == ["html", "head", "meta", "meta"]
    assert tags.index("style") > 3
    assert tags.count("script") == 1
    assert tags.count("style") == 1


def test_hostile_content_stays_text() -> None:
    """Rule: answers, ids, messages, names and files cannot become elements, scripts or templates."""
    page = Page(render_html(hostile()))

    tags = [tag for tag, _ in page.elements]
    assert (tags.count("script"), tags.count("style"), tags.count("img")) == (1, 1, 0)
    assert "<script>alert('x')</script>" in page.text
    assert "{{ 7*7 }}" in page.text
    assert page.open == []


def test_foreign_text_cannot_turn_the_direction_of_ours() -> None:
    """Rule: a right-to-left override stays within the element of the text that brought it."""
    page = Page(render_html(hostile()))

    turned = [path for path, text in page.paths if "\u202e" in text and path[-1][0] not in ("title", "text")]
    exposed = [path[-2:] for path in turned if not any(tag == "code" or "foreign" in kind for tag, kind in path)]
    assert len(turned) > 20
    assert exposed == []
    assert ".foreign, code { unicode-bidi: isolate;" in page.inside("style")


def test_huge_texts_do_not_make_a_huge_page() -> None:
    """Rule: long answers are cut in the contents and clamped on the page."""
    text = render_html(hostile())

    assert len(text) < 400_000
    assert "more characters)" in text


def test_the_same_contents_give_the_same_page() -> None:
    """Rule: a report can be made again, from the run or from its summary, byte for byte."""
    contents = triage()

    again = Contents.model_validate_json(contents.model_dump_json())

    assert render_html(contents) == render_html(contents) == render_html(again)


def test_the_page_shows_every_content() -> None:
    """Rule: nothing that was found is left out of the report."""
    contents = triage()
    text = Page(render_html(contents)).text.replace("\u00a0", " ")

    for one in contents.comparisons:
        assert one.sentence.replace("`", " ").replace("  ", " ").replace(" :", ":") in text.replace(" :", ":")
        assert one.missing_sentence is None or one.missing_sentence in text
    for group in (*contents.failures, *contents.blocked):
        assert group.kind in text
        assert all(sample.message in text for sample in group.samples)
    for disagreement in contents.disagreements["short"]:
        assert disagreement.row_id in text
        assert disagreement.variant.answers[0].text in text
    assert all(bad.reason in text for bad in contents.bad_rows)
    assert "2 queue messages could not be processed" in text
    assert contents.run.dataset.sha256 in text
    assert "openssl dgst -sha256 -verify signer.pub" in text


def test_unknown_prices_are_called_out() -> None:
    """Rule: a cost that leaves answers out says so near the top."""
    contents = with_outcomes(outcome(1, "plain", None, response(model="novel-9", cost_usd=None)))

    text = Page(render_html(contents)).text

    assert "No price is known for novel-9" in text
    assert text.index("No price is known") < text.index("What it cost and took", text.index("Verdict"))


def test_the_page_can_be_read_by_everybody() -> None:
    """Rule: a language, one main heading, headings for all columns, names for all plots and scrolling regions."""
    page = Page(render_html(triage()))

    assert next(page.all("html")).get("lang") == "en"
    assert len(list(page.all("h1"))) == 1
    assert len(list(page.all("table"))) == len(list(page.all("caption")))
    assert all(heading.get("scope") in ("col", "row") for heading in page.all("th"))
    plots = [plot for plot in page.all("svg") if plot.get("class") != "at"]
    assert plots and all(plot.get("role") == "img" and plot.get("aria-label") for plot in plots)
    regions = [one for _, one in page.elements if one.get("role") == "region"]
    assert regions and all(one.get("aria-label") and one.get("tabindex") == "0" for one in regions)


def test_a_plot_has_a_line_per_experiment_and_per_variant() -> None:
    """Rule: one plot of values and one of differences per score, one small one per card."""
    text = render_html(mixed())

    labels = [plot.get("aria-label") or "" for plot in Page(text).all("svg")]
    scores = [label.split(",")[0] for label in labels if "per experiment, with" in label]
    assert scores == ["correct per experiment", "helpfulness per experiment"]
    assert sum("with 95 % intervals" in label and label.startswith("Difference to") for label in labels) == 2
    assert sum(label.startswith("Difference of") for label in labels) == 2


def test_nothing_is_drawn_where_nothing_was_scored() -> None:
    """Rule: an empty axis is no plot."""
    assert list(Page(render_html(all_failed())).all("svg")) == []


def test_sorting_has_a_plain_number_for_every_formatted_one() -> None:
    """Rule: `1,234` and `−3` sort as numbers."""
    page = Page(render_html(rating()))

    keys = [one["data-sort"] for one in page.all("td") if one.get("data-sort")]
    assert keys and all(re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?", str(key), re.IGNORECASE) for key in keys)


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, by WCAG 2.2."""

    def luminance(colour: str) -> float:
        channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_text_has_enough_contrast_in_light_and_dark() -> None:
    """Rule: 4.5 to 1 for every text colour on every ground it stands on."""
    style = Page(render_html(lone())).inside("style")
    colours = re.findall(r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", style)
    palettes = [{name: light for name, light, _ in colours}, {name: dark for name, _, dark in colours}]

    for palette in palettes:
        pairs = [(ink, ground) for ink in ("ink", "muted") for ground in ("paper", "surface", "sunken")]
        pairs += [(tone, f"{tone}-tint") for tone in ("better", "worse", "open", "lacking")]
        pairs += [("ink", "heat"), ("ink", "margin-tint"), ("muted", "margin-tint")]
        pairs += [("link", "paper"), ("link", "lacking-tint"), ("better", "sunken"), ("worse", "sunken")]
        assert len(palette) > 15
        assert [pair for pair in pairs if contrast(palette[pair[0]], palette[pair[1]]) < 4.5] == []
