"""The orchestrator, replayed by the real engine from histories made by hand."""

from __future__ import annotations

import inspect
from datetime import datetime, timedelta

import pytest
from engine_play import START, Play

from assay.orchestration import run
from assay.orchestration.finishing import FinishingSteps
from assay.orchestration.publishing import PublishingSteps
from assay.orchestration.run import LONGEST_PAUSE_SECONDS, TURNS_PER_HISTORY
from assay.orchestration.steps import AskingSteps

pytestmark = [
    # The Functions library says this once per process of any orchestrator that does not name its input's type.
    pytest.mark.filterwarnings("ignore:azure.functions df_loads was called without expected_type"),
    # The engine says this of an event that nobody waits for yet.
    pytest.mark.filterwarnings("ignore:Potential duplicate Task completion"),
]

RUN = "support-triage-7f3ac2"


def begun(**state: object) -> Play:
    return Play({"run": RUN, **state})


def planned() -> Play:
    """A run that has been planned and looks for the first time."""
    play = begun()
    play.completes({"refused": False})
    return play


def turn(play: Play, done: int, total: int = 10, *, seconds: float = 0.05, cursor: int = 10) -> None:
    """One look and one dispatch; the orchestrator then waits."""
    play.completes({"done": done, "total": total, "seconds": seconds})
    play.completes(cursor)


def test_a_refused_dataset_ends_the_run_without_asking() -> None:
    """The run failed, the orchestrator did not: there is nothing to try again."""
    play = begun()
    assert (play.activity, play.order) == ("plan", {"run": RUN})

    play.completes({"refused": True})

    assert (play.is_done, play.activity, play.error) == (True, None, None)
    assert play.output == {"run": RUN, "stage": "failed"}


def test_a_run_goes_from_plan_to_publication() -> None:
    """Every step in its order, each once, with the run's id."""
    play = planned()
    turn(play, 0)
    play.timer_fires()
    play.completes({"done": 10, "total": 10, "seconds": 0.05})
    taken = []
    while play.activity:
        taken.append((play.activity, play.order, play.answer["customStatus"]))
        play.completes({})

    assert taken == [(name, {"run": RUN}, name) for name in ("evaluate", "report", "seal", "publish")]
    assert play.is_done
    assert play.output == {"run": RUN, "stage": "done"}


def test_every_order_fits_the_step_that_takes_it() -> None:
    """The function app passes orders on as keyword arguments."""
    orders = []
    play = planned()
    orders.append(("plan", {"run": RUN}))
    for result in ({"done": 0, "total": 10, "seconds": 0.05}, 4):
        orders.append((str(play.activity), play.order))
        play.completes(result)
    play.timer_fires()
    play.completes({"done": 10, "total": 10, "seconds": 0.05})
    while play.activity:
        orders.append((play.activity, play.order))
        play.completes({})
    failing = begun()
    failing.fails_for_good("no disk")
    orders.append((str(failing.activity), failing.order))

    assert {name for name, _ in orders} == {
        "plan", "watch", "dispatch", "evaluate", "report", "seal", "publish", "fail",
    }  # fmt: skip
    for name, order in orders:
        step = next(getattr(one, name) for one in (AskingSteps, FinishingSteps, PublishingSteps) if hasattr(one, name))
        inspect.signature(step).bind(None, **order)


def test_dispatch_is_told_where_the_run_stands() -> None:
    """The cursor is what the last dispatch returned."""
    play = planned()
    play.completes({"done": 0, "total": 10, "seconds": 0.05})
    assert play.order == {"run": RUN, "cursor": 0, "done": 0, "lost": False}
    play.completes(4)
    play.timer_fires()
    play.completes({"done": 3, "total": 10, "seconds": 0.05})

    assert play.order == {"run": RUN, "cursor": 4, "done": 3, "lost": False}
    assert play.answer["customStatus"] == "3 of 10 chunks"


def test_pauses_are_short_while_chunks_come_in() -> None:
    """Then the queue is topped up in time."""
    play = planned()
    for done in range(5):
        turn(play, done)
        assert play.pause_seconds == pytest.approx(1.0)
        play.timer_fires()


def test_pauses_grow_while_nothing_moves() -> None:
    """Up to a bound, so that the end is noticed soon without a hint."""
    play = planned()
    pauses = []
    for _ in range(10):
        turn(play, 0)
        pauses.append(play.pause_seconds)
        play.timer_fires()

    assert pauses[0] == pytest.approx(1.0)
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE_SECONDS == pauses[-2]


def test_pauses_are_longer_when_looking_is_dear() -> None:
    """A listing that takes long takes at most a fifth of the time."""
    play = planned()
    turn(play, 1, seconds=2.5)

    assert play.pause_seconds == pytest.approx(10.0)


def test_a_hint_ends_the_pause_and_cancels_its_timer() -> None:
    """The end of a run is noticed at once."""
    play = planned()
    turn(play, 0)

    play.hint()

    assert (play.activity, play.cancelled_timers) == ("watch", 1)
    play.completes({"done": 10, "total": 10, "seconds": 0.05})
    assert play.activity == "evaluate"


def test_a_hint_during_an_activity_ends_the_next_pause_only() -> None:
    """It is neither lost nor does it end every later pause."""
    play = planned()
    turn(play, 0)
    play.timer_fires()
    play.hint()
    assert play.activity == "watch"
    turn(play, 5)
    assert (play.activity, play.cancelled_timers) == ("watch", 1)

    turn(play, 6)

    assert play.activity is None
    assert play.pause_seconds == pytest.approx(1.0)


@pytest.mark.parametrize("hints", [1, 3])
def test_a_hint_before_the_first_pause_ends_that_one_only(hints: int) -> None:
    """A small run's hints come before anybody waits for them; the orchestrator must not turn in a tight loop."""
    play = begun()
    for _ in range(hints):
        play.hint()
    play.completes({"refused": False})
    turn(play, 5)
    assert play.activity == "watch"

    for done in (6, 7, 8):
        turn(play, done)
        assert play.activity is None
        play.timer_fires()


def test_more_hints_than_one_only_end_one_pause() -> None:
    """Every experiment's last chunk hints; pauses are short then anyway."""
    play = planned()
    turn(play, 0)
    play.hint()
    play.hint()
    turn(play, 8)
    assert play.activity is None
    play.hint()
    assert play.activity is None

    play.timer_fires()

    assert play.activity == "watch"


def after_the_pause(play: Play) -> Play:
    """The execution in which the orchestrator looks again: the next one if the history was cut."""
    play.timer_fires()
    return play if play.next_argument is None else Play(play.next_argument, play.now)


def test_a_long_history_is_cut_and_taken_up_where_it_was() -> None:
    """It stays far below a thousand events, and what follows is in the next one's input."""
    play = planned()
    turn(play, 2, cursor=6)
    play.hint()
    turns = 1
    while play.next_argument is None:
        turn(play, 3, cursor=7)
        play.timer_fires()
        turns += 1

    assert turns == TURNS_PER_HISTORY
    assert len(play.history) < 1_000
    assert play.error is None
    state = play.next_argument
    assert (state["run"], state["cursor"], state["done"]) == (RUN, 7, 3)

    resumed = Play(state, play.now)
    assert resumed.activity == "watch"
    resumed.completes({"done": 3, "total": 10, "seconds": 0.05})
    assert resumed.order == {"run": RUN, "cursor": 7, "done": 3, "lost": False}


@pytest.fixture
def short_histories(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short in turns, and patience short to match: the engine reads a history from its start at every event."""
    monkeypatch.setattr(run, "TURNS_PER_HISTORY", 6)
    monkeypatch.setattr(run, "STALLED_SECONDS", 90)


@pytest.mark.usefixtures("short_histories")
def test_a_run_that_stands_still_sends_lost_chunks_again_and_again() -> None:
    """Time counts over histories: one alone is shorter than the limit."""
    play = planned()
    lost_at: list[datetime] = []
    while len(lost_at) < 2 and play.now < START + timedelta(hours=1):
        play.completes({"done": 3, "total": 10, "seconds": 0.05})
        if play.order["lost"]:
            lost_at.append(play.now)
        play.completes(10)
        play = after_the_pause(play)

    slack = timedelta(seconds=LONGEST_PAUSE_SECONDS + 5)
    limit = timedelta(seconds=run.STALLED_SECONDS)
    assert limit <= lost_at[0] - START <= limit + slack
    assert limit <= lost_at[1] - lost_at[0] <= limit + slack


@pytest.mark.usefixtures("short_histories")
def test_a_run_that_moves_now_and_then_loses_nothing() -> None:
    """A chunk before patience runs out is movement enough."""
    play, done = planned(), 0
    moved_at = play.now
    while done < 2:
        if play.now - moved_at > timedelta(seconds=run.STALLED_SECONDS - 30):
            done, moved_at = done + 1, play.now
        play.completes({"done": done, "total": 10, "seconds": 0.05})
        assert play.order["lost"] is False
        play.completes(10)
        play = after_the_pause(play)


@pytest.mark.parametrize("at", ["plan", "watch", "dispatch", "evaluate", "publish"])
def test_a_step_that_fails_for_good_marks_the_run_as_failed_and_raises(at: str) -> None:
    """People see why; dropping the file again takes the run up."""
    play = begun()
    results: dict[str, list[object]] = {
        "plan": [{"refused": False}],
        "watch": [{"done": 0, "total": 10, "seconds": 0.05}, {"done": 10, "total": 10, "seconds": 0.05}],
        "dispatch": [10],
    }
    while play.activity != at:
        if play.activity is None:
            play.timer_fires()
        else:
            play.completes(results.get(play.activity, [{}]).pop(0))

    play.fails_for_good("no disk left")

    assert play.activity == "fail"
    assert play.order["run"] == RUN
    assert "no disk left" in play.order["reason"]
    play.completes(None)
    assert play.is_done
    assert "no disk left" in str(play.error)


def test_steps_that_only_storage_can_fail_are_retried_with_patience() -> None:
    """A run outlives minutes without storage; a step that is dear or wrong is not repeated for that long."""
    patient: dict[str, bool] = {}
    for at in ("plan", "watch", "dispatch", "evaluate", "fail"):
        play = begun()
        results = {"plan": {"refused": False}, "watch": {"done": 0, "total": 10, "seconds": 0.05}, "dispatch": 10}
        if at in ("evaluate", "fail"):
            results["watch"] = {"done": 10, "total": 10, "seconds": 0.05}
        while play.activity != at:
            if play.activity == "evaluate":
                play.fails_for_good("no disk left")
            else:
                play.completes(results[str(play.activity)])
        patient[at] = play.is_patient

    assert patient == {"plan": False, "watch": True, "dispatch": True, "evaluate": False, "fail": True}


def test_a_failure_that_cannot_be_noted_fails_the_run_all_the_same() -> None:
    """The orchestrator ends in any case."""
    play = begun()
    play.fails_for_good("no disk left")

    play.fails_for_good("still no disk")

    assert play.is_done
    assert "still no disk" in str(play.error)


def test_a_reason_is_short_enough_for_a_history() -> None:
    """Tracebacks may be long; histories are read on every event."""
    play = begun()

    play.fails_for_good("x" * 100_000)

    assert len(play.order["reason"]) <= 2_000


def stopped(play: Play, at_work: int) -> None:
    """One look that finds the run stopped."""
    play.completes({"done": 3, "total": 10, "seconds": 0.05, "stopped": True, "at_work": at_work})


def test_a_stopped_run_ends_well_once_nobody_works_on_it() -> None:
    """Nothing more is dispatched; the last look is followed by the step that says how to go on."""
    play = planned()
    stopped(play, at_work=2)
    assert play.activity is None
    play.timer_fires()
    stopped(play, at_work=0)
    assert (play.activity, play.order) == ("stop", {"run": RUN})

    play.completes(True)

    assert (play.is_done, play.error) == (True, None)
    assert play.output == {"run": RUN, "stage": "stopped"}


def test_a_run_that_was_let_go_on_meanwhile_is_not_ended() -> None:
    """The step found no reason any more."""
    play = planned()
    stopped(play, at_work=0)
    play.completes(False)
    play.timer_fires()
    play.completes({"done": 10, "total": 10, "seconds": 0.05, "stopped": False, "at_work": 0})

    assert play.activity == "evaluate"


def test_a_stopped_run_whose_chunks_are_all_done_is_finished() -> None:
    """The last trials came through after all."""
    play = planned()
    play.completes({"done": 10, "total": 10, "seconds": 0.05, "stopped": True, "at_work": 0})

    assert play.activity == "evaluate"
