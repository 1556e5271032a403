"""Which chunks nobody needs, judges' among them."""

from __future__ import annotations

from assay.orchestration.waiving import is_wanted, needless
from assay.run_records import Judgement, Plan, RowRange, Tally
from builders import RUN

DONE, WAIVED = Tally(trials=5, succeeded=5), Tally(trials=5, skipped=5)
PLAN = Plan(
    run=RUN,
    rows=10,
    bad_rows=0,
    experiments=("plain", "short"),
    ranges=tuple(RowRange(first_row=at * 5 + 1, rows=5, offset=at * 100, length=100) for at in range(2)),
    judgements=(
        Judgement(judge="grade", experiment="plain"),
        Judgement(judge="grade", experiment="short"),
        Judgement(judge="duel", experiment="short", against="plain"),
    ),
    early_stop=True,
)
OF_PLAIN, OF_SHORT, DUEL = (one.name for one in PLAN.judgements)


def test_nothing_is_needless_while_nothing_is_settled() -> None:
    """Whatever has ended so far."""
    assert needless(PLAN, frozenset(), {("plain", 0): DONE}) == []


def test_chunks_of_settled_experiments_that_have_not_ended_are_needless() -> None:
    """What has ended stays, and what it needs of judges goes on."""
    ended = {("plain", 0): DONE, ("short", 0): DONE}
    assert needless(PLAN, {"short"}, ended) == [("short", 1)]
    assert is_wanted(PLAN, {"short"}, ended, OF_SHORT, 0)
    assert is_wanted(PLAN, {"short"}, ended, DUEL, 0)


def test_judgements_of_what_was_not_asked_are_needless() -> None:
    """No answer will ever come; judgements of the baseline go on."""
    ended = {("plain", 0): DONE, ("short", 0): DONE, ("plain", 1): DONE, ("short", 1): WAIVED}
    assert needless(PLAN, {"short"}, ended) == [(OF_SHORT, 1), (DUEL, 1)]
    assert not is_wanted(PLAN, {"short"}, ended, DUEL, 1)
    assert is_wanted(PLAN, {"short"}, ended, OF_PLAIN, 1)


def test_judgements_wait_until_it_is_known_whether_there_are_answers() -> None:
    """A chunk of a settled experiment may still be finished by its worker."""
    ended = {("plain", 1): DONE}
    assert not is_wanted(PLAN, {"short"}, ended, OF_SHORT, 1)
    assert (OF_SHORT, 1) not in needless(PLAN, {"short"}, ended)
