"""The orchestrator of a run, as a plain generator over the Durable Functions context API.

It holds counts, never rows: the truth of a run is in its blobs, and every step can run again. Replayed from its
history on every event, so it is deterministic: no clocks but the context's, no I/O, no randomness.
"""

from collections.abc import Callable, Generator
from datetime import datetime, timedelta
from typing import Any, cast

from assay.run_records import Stage

HINT = "chunks_done"
TURNS_PER_HISTORY = 40
SHORTEST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 15.0
STALLED_SECONDS = 15 * 60
SETTLING_TURNS = 30
LIGHT_STEPS = ("watch", "dispatch", "stop", "fail")

Step = Callable[..., Any]


def conduct(context: Any, retries: Any, patience: Any) -> Generator[Any, Any, dict[str, Any] | None]:
    """Drives a run from plan to publication. Input: `{"run": id}`, plus where it was when its history was cut.

    `patience` is how the light steps are retried: they cost little, and only storage that does not answer fails them.
    Returns the run and its last stage, or None when the history was cut. A run that its workers stopped ends here as
    well as one that is done. A step that fails for good marks the run as failed and raises.
    """
    state = context.get_input()

    def step(name: str, **details: Any) -> Any:
        options = patience if name in LIGHT_STEPS else retries
        return context.call_activity_with_retry(name, options, {"run": state["run"], **details})

    try:
        if "cursor" not in state:
            planned = yield step("plan")
            if planned["refused"]:
                return {"run": state["run"], "stage": Stage.FAILED}
            state = {"run": state["run"], "cursor": 0}
        ended_as = yield from _ask_everything(context, step, state)
        if ended_as is None:
            return None
        if ended_as is Stage.STOPPED:
            return {"run": state["run"], "stage": Stage.STOPPED}
        for name in ("evaluate", "report", "seal", "publish"):
            context.set_custom_status(name)
            yield step(name)
    except Exception as error:
        yield step("fail", reason=str(error)[:2_000])
        raise
    return {"run": state["run"], "stage": Stage.DONE}


def _ask_everything(context: Any, step: Step, state: dict[str, Any]) -> Generator[Any, Any, Stage | None]:
    """Keeps the queue topped up until every chunk is done: then the run is to be evaluated. Or it was stopped.

    None when the history was cut and starts anew.
    """
    # Waited for once in a history: the engine gives an event that came early to every later wait for its name.
    hints = [context.wait_for_external_event(HINT)]
    pause, done = SHORTEST_PAUSE_SECONDS, state.get("done", -1)
    moved_at = datetime.fromisoformat(state["moved_at"]) if "moved_at" in state else _instant(context)
    settling = 0
    for _ in range(TURNS_PER_HISTORY):
        seen = yield step("watch")
        if seen["done"] >= seen["total"]:
            return Stage.EVALUATING
        if seen.get("stopped"):
            settling += 1
            if (not seen["at_work"] or settling > SETTLING_TURNS) and (yield step("stop")):
                return Stage.STOPPED
            yield context.create_timer(_instant(context) + timedelta(seconds=SHORTEST_PAUSE_SECONDS))
            continue
        moved = seen["done"] != done
        moved_at = _instant(context) if moved else moved_at
        pause = _pause(pause, moved, seen["seconds"])
        stalled = (_instant(context) - moved_at).total_seconds() >= STALLED_SECONDS
        moved_at = _instant(context) if stalled else moved_at
        done = seen["done"]
        context.set_custom_status(f"{done} of {seen['total']} chunks")
        cursor = yield step("dispatch", cursor=state["cursor"], done=done, lost=stalled)
        state = {"run": state["run"], "cursor": cursor, "done": done, "moved_at": moved_at.isoformat()}
        timer = context.create_timer(_instant(context) + timedelta(seconds=pause))
        first = yield context.task_any([timer, *hints])
        if first != timer:
            timer.cancel()
            hints = []
    context.continue_as_new(state)
    return None


def _pause(pause: float, moved: bool, listing_seconds: float) -> float:
    """Seconds until the next look: short while chunks come in, longer while none do or a look is dear."""
    wanted = SHORTEST_PAUSE_SECONDS if moved else pause * 1.5
    return min(max(wanted, 4 * listing_seconds), LONGEST_PAUSE_SECONDS)


def _instant(context: Any) -> datetime:
    return cast(datetime, context.current_utc_datetime)
