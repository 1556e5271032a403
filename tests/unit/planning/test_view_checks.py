"""What preflight says of a suite's redacted views and of the sinks that ask for them, with the line."""

import pytest

from assay.errors import SuiteError
from assay.planning.preflight import checked_suite
from assay.planning.view_checks import result_columns
from assay.reporting.cells import Layout
from builders import suite

SUITE = """version: 1
name: triage
{level}
defaults: {{model: {{deployment: m}}, criteria: [{{name: queue, user: "{{{{ body }}}}"}}]}}
experiments:
  - {{name: plain, baseline: true}}
  - {{name: other, model: {{temperature: 1}}}}
scorers: [{{plugin: label_match, name: correct, path: queue, expected: queue}}]
views:
{views}
sinks:
{sinks}
"""
FINE = "{name: shared, level: internal, columns: {row_id: hash}}"


def check(*views: str, sinks: tuple[str, ...] = ("{plugin: blob}",), level: str = "level: confidential") -> None:
    lists = {"views": views, "sinks": sinks}
    written = {key: "\n".join(f"  - {one}" for one in items) for key, items in lists.items()}
    checked_suite(SUITE.format(level=level, **written))


def test_views_and_sinks_that_ask_for_them_can_stand_together() -> None:
    """Several views, several sinks; one view may go to many, and one to nobody."""
    check(
        FINE,
        '{name: open, level: public, columns: {"answer.*": drop, "*.correct": mask, row_id: drop, model: mask}}',
        "{name: kept, level: public, columns: {answer.queue: drop, reason.correct: keep}}",
        "{name: other, level: confidential, experiments: [other]}",
        "{name: masked, level: confidential, columns: {model: mask}}",
        "{name: both, level: public, columns: {row_id: keep}, experiments: [plain, other]}",
        sinks=(
            "{plugin: folder, view: shared}",
            "{plugin: github, repository: acme/results, view: open, clearance: public}",
            "{plugin: sql, connection: warehouse, outcomes: false, view: shared}",
            "{plugin: webhook, address: team, view: shared}",
        ),
    )


@pytest.mark.parametrize(
    ("views", "problem"),
    [
        ([FINE, FINE], "view 'shared' stands twice"),
        (
            ["{name: v, level: restricted, columns: {row_id: hash}, experiments: [plain]}"],
            "the whole bundle is confidential; expected public or internal or confidential",
        ),
        (["{name: v, level: internal, columns: {row: hash, rowid: drop}}"], "'rowid' (did you mean 'row_id'?)"),
        (['{name: v, level: internal, columns: {"answers.*": drop}}'], "They are: row_id, row, experiment"),
        (["{name: v, level: internal, columns: {experiment: hash}}"], "the column 'experiment' stays"),
        (["{name: v, level: internal, columns: {row_id: encrypt}}"], "expected 'keep', 'hash', 'mask' or 'drop'"),
        (["{name: v, level: internal, columns: {}}"], "view 'v' is of everything; name 'columns' to change"),
        (["{name: v, level: internal}"], "view 'v' is of everything"),
        (["{name: v, level: internal, experiments: []}"], "view 'v' is of everything"),
        (["{name: v, level: confidential, columns: {row_id: keep}}"], "as the whole bundle is, and hides nothing"),
        (
            ["{name: v, level: internal, experiments: [plain, othre]}"],
            "there is no experiment 'othre' (did you mean 'other'?). They are: plain, other",
        ),
        (["{name: ../v, level: internal, columns: {row_id: hash}}"], "1 to 40 lower-case letters"),
    ],
)
def test_what_is_wrong_with_a_view_is_told_at_its_line(views: list[str], problem: str) -> None:
    """With what was meant, where that can be guessed."""
    with pytest.raises(SuiteError) as caught:
        check(*views)
    assert problem in str(caught.value) and "suite.yaml:10" in str(caught.value).replace(
        "suite.yaml:11", "suite.yaml:10"
    )


def test_a_view_is_never_above_the_bundle() -> None:
    """What everybody may see can only be made smaller."""
    open_to_all = "level: public\ndataset: {level: public}"
    with pytest.raises(SuiteError, match="the whole bundle is public; expected public"):
        check(FINE, level=open_to_all)
    check("{name: one, level: public, experiments: [other]}", level=open_to_all)


def test_the_higher_level_of_suite_and_dataset_counts() -> None:
    """The bundle is made of both."""
    check(FINE, level="level: public\ndataset: {level: restricted}")


@pytest.mark.parametrize(
    ("sink", "problem"),
    [
        ("{plugin: folder, view: share}", "there is no view 'share' (did you mean 'shared'?). Views: shared"),
        ("{plugin: blob, view: shared}", "the run's own container takes the whole bundle"),
        ("{plugin: sql, connection: w, view: shared}", "say 'outcomes: false'"),
    ],
)
def test_what_a_sink_cannot_ask_for_is_told_at_its_line(sink: str, problem: str) -> None:
    """Before a run: afterwards the results would lie where nobody gets them."""
    with pytest.raises(SuiteError) as caught:
        check(FINE, sinks=(sink,))
    assert problem in str(caught.value) and "suite.yaml:12" in str(caught.value)


def test_the_known_columns_are_those_of_the_results() -> None:
    """Preflight may not import what writes them."""
    several = suite(criteria=("queue", "tone"))
    assert result_columns(several) == Layout.of(several).schema.names
