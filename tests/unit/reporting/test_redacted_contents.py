"""The contents of a view: every figure of the whole report, and of rows and answers only what the view keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_contents import contents_of
from test_judged_results import choice, facts, grade

from assay.reporting.contents import Contents
from assay.reporting.redacted_contents import Redactor
from assay.reporting.redacted_tables import MASK, Redaction
from assay.suite.redacted_views import Treatment
from builders import failed, triage_run


def redacted(whole: Contents, with_descriptions: bool = True, **columns: Treatment) -> Contents:
    said = {name.replace("__", "."): treatment for name, treatment in columns.items()}
    return Redactor("shared", Redaction(said, b"k"), with_descriptions).contents(whole)


@pytest.fixture
def whole(tmp_path: Path) -> Contents:
    """A report with everything in it: trouble, judges, disagreements, labels, figures of plugins."""
    lost = failed(9, "helpful~plain", message="confidential words")
    judges = facts([grade(1, "plain", 4.0), choice(1, "variant"), lost], tmp_path / "judged")
    triage_contents = contents_of(triage_run(rows=80))
    found = {"report": {"labels": ["billing"]}}
    experiments = tuple(one.model_copy(update={"aggregates": found}) for one in triage_contents.experiments)
    changes = {"judges": judges, "experiments": experiments, "comparers": {"short": found}}
    return triage_contents.model_copy(update=changes)


def without_samples(contents: Contents) -> Contents:
    """The same, without what no view ever has."""

    def counts(groups: tuple) -> tuple:
        return tuple(one.model_copy(update={"samples": ()}) for one in groups)

    judges = tuple(one.model_copy(update={"failures": counts(one.failures)}) for one in contents.judges)
    kinds = {name: counts(getattr(contents, name)) for name in ("failures", "blocked", "unscored")}
    return contents.model_copy(update={"disagreements": {}, "bad_rows": (), "judges": judges, **kinds})


def test_a_view_that_hides_nothing_lacks_the_samples_alone(whole: Contents) -> None:
    """Every other field of every record is there: none is forgotten, and a new one is noticed."""
    found = redacted(whole, row_id="keep")
    assert found.view is not None and found.view.columns == {}
    assert found.model_copy(update={"view": None}) == without_samples(whole)
    assert "confidential words" in whole.model_dump_json() and "confidential words" not in found.model_dump_json()


def test_models_and_deployments_are_named_nowhere_where_their_columns_are_changed(whole: Contents) -> None:
    """Of experiments and judges; how many answers there were stays."""
    found = redacted(whole, model="mask", deployment="hash")
    for one in found.experiments:
        assert list(one.models) == list(one.deployments) == [MASK] and one.deployment == MASK
    assert {one.deployment for one in found.judges} == {MASK}
    assert sum(found.experiments[0].models.values()) == sum(whole.experiments[0].models.values())


@pytest.mark.parametrize("column", ["label__correct", "expected__correct"])
def test_labels_are_shown_only_where_the_view_keeps_them(whole: Contents, column: str) -> None:
    """Plugins are shown labels, so that what they found goes with them."""
    found = redacted(whole, **{column: "drop"})
    assert all(one.confusions == {} and one.aggregates == {} for one in found.experiments)
    assert found.comparers == {}


def test_descriptions_go_where_the_suite_may(whole: Contents) -> None:
    """They are the suite's words, not the rows'."""
    assert (redacted(whole).run.description, redacted(whole, with_descriptions=False).run.description) == (
        whole.run.description,
        "",
    )
