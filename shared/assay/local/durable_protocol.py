"""The JSON protocol between the Durable extension and the azure-functions-durable 1.7 engine. Pure: no clock, no disk.

The engine gets the whole history and answers with every action so far. Both sides must number tasks alike: a number per
action in order, none for a wait; a retry takes numbers that appear in no action (see `_hidden_tasks`).
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from assay.local.durable_records import (
    Activity,
    AnyLine,
    Ended,
    Episode,
    Event,
    EventType,
    Instance,
    Received,
    Retry,
    Started,
    Timer,
    from_wire,
    new_event,
    task_id_of,
    to_wire,
)

_CALL_ACTIVITY, _CALL_ACTIVITY_WITH_RETRY, _CONTINUE_AS_NEW, _CREATE_TIMER, _WAIT_FOR_EVENT = 0, 1, 4, 5, 6
_ERROR_LABEL = "\n\n$OutOfProcData$:"
_SCHEMA_VERSION = 2  # the newest replay schema of 1.7, called V3 there


@dataclass(frozen=True)
class Answer:
    """What the engine answered. `actions` is flat and holds every action since the execution began, oldest first."""

    actions: list[dict[str, Any]] = field(default_factory=list)
    is_done: bool = False
    output: Any = None
    error: str | None = None
    custom_status: Any = None

    @property
    def next_input(self) -> str | None:
        """The input (JSON text) of the next execution if the orchestrator called continue_as_new."""
        return next((each["input"] for each in self.actions if each["actionType"] == _CONTINUE_AS_NEW), None)


def next_batch(instance: Instance) -> list[Event]:
    """The waiting events of the next episode. The first episode gets none: it only starts the orchestrator.

    Two kinds go alone. A failed or delayed retry, because the engine then numbers tasks that no action shows. And an
    external event, because after a continue_as_new in the same episode nobody could tell whether it was seen.
    """
    if not instance.history:
        return []
    alone = (_goes_alone(instance, event) for event in instance.inbox)
    first_alone = next((index for index, is_alone in enumerate(alone) if is_alone), len(instance.inbox))
    return instance.inbox[: max(first_alone, 1)]


def episode_events(instance: Instance, batch: list[Event], now: datetime) -> list[Event]:
    """The new history of an episode that shows `batch` to the orchestrator."""
    events = [new_event(EventType.ORCHESTRATOR_STARTED, now)]
    if not instance.history:
        # The engine reads `Version` of this event without asking whether it is there.
        start = {"Name": instance.name, "Version": None, "Input": instance.input}
        events.append(new_event(EventType.EXECUTION_STARTED, now, 0, **start))
    return events + batch


def request_body(instance: Instance, events: list[Event]) -> str:
    """The JSON text that the decorated orchestrator takes as its context."""
    return json.dumps(
        {
            "history": instance.history + events,
            "instanceId": instance.instance_id,
            "isReplaying": bool(instance.history),
            "parentInstanceId": None,
            "input": instance.input,
            "upperSchemaVersion": _SCHEMA_VERSION,
            "upperSchemaVersionNew": _SCHEMA_VERSION,
            "maximumShortTimerDuration": "6.00:00:00",
            "longRunningTimerIntervalDuration": "3.00:00:00",
        }
    )


def read_answer(text: str) -> Answer:
    """Read the state that the engine returned."""
    state = json.loads(text)
    return Answer(
        actions=list(_flat(state["actions"])),
        is_done=state["isDone"],
        output=state.get("output"),
        error=state.get("error"),
        custom_status=state.get("customStatus"),
    )


def read_failure(error: BaseException) -> Answer:
    """Read the state that the engine hid in the text of an exception, or make one from any other exception."""
    # The last label: an error text may hold one too, but inside the JSON its line breaks are escaped.
    message, label, state = str(error).rpartition(_ERROR_LABEL)
    if label:
        return read_answer(state)
    return Answer(error=message or state or type(error).__name__)


def decide(instance: Instance, batch: list[Event], events: list[Event], answer: Answer, now: datetime) -> Episode:
    """The record of the episode: what it saw, what is to be run next, and the outcome if there is one."""
    # Hidden tasks first: the engine numbers them while it takes in the event, before user code goes on.
    scheduled = dict(_hidden_tasks(instance, batch, now))
    next_id = instance.next_id + len(scheduled)
    for action in answer.actions[instance.actions_seen :]:
        task = _task_of(action)
        if task:
            scheduled[next_id] = task
            next_id += 1
    markers = [_marker(task_id, task, now) for task_id, task in scheduled.items()]
    return Episode(
        at=now,
        consumed=len(batch),
        events=[*events, *markers, new_event(EventType.ORCHESTRATOR_COMPLETED, now)],
        scheduled=scheduled,
        next_id=next_id,
        actions_seen=len(answer.actions),
        custom_status=answer.custom_status,
        final=_outcome(answer, now),
    )


def next_execution(instance: Instance, episode: Episode, answer: Answer) -> list[AnyLine]:
    """The records with which the instance continues as new: a fresh start and the external events nobody has seen.

    An event counts as seen once the orchestrator waited for its name often enough, as in Azure, which carries the
    others over. Results of the old execution's tasks are dropped.
    """
    started = Started(
        instance_id=instance.instance_id,
        name=instance.name,
        input=answer.next_input,
        created=instance.created,
        execution=instance.execution + 1,
        custom_status=answer.custom_status,
    )
    waits = Counter(each["externalEventName"] for each in answer.actions if each["actionType"] == _WAIT_FOR_EVENT)
    unseen: list[Event] = []
    for event in _external(instance.history + episode.events):
        waits[event["Name"]] -= 1
        if waits[event["Name"]] < 0:
            unseen.append({**event, "IsPlayed": False})
    unseen += _external(instance.inbox[episode.consumed :])
    return [started, *(Received(event=event) for event in unseen)]


def _goes_alone(instance: Instance, event: Event) -> bool:
    task = instance.pending.get(task_id_of(event))
    if isinstance(task, Activity):
        return task.retry is not None and event["EventType"] == EventType.TASK_FAILED
    if isinstance(task, Timer):
        return task.retried is not None
    return bool(event["EventType"] == EventType.EVENT_RAISED)


def _hidden_tasks(instance: Instance, batch: list[Event], now: datetime) -> Iterator[tuple[int, Activity | Timer]]:
    """The tasks that the engine numbers by itself: a timer after each failed attempt, even the last, then the retry."""
    task_id = instance.next_id
    for event in batch:
        task = instance.pending.get(task_id_of(event))
        hidden = _hidden_task(task, event, now) if task else None
        if hidden:
            yield task_id, hidden
            task_id += 1


def _hidden_task(task: Activity | Timer, event: Event, now: datetime) -> Activity | Timer | None:
    if isinstance(task, Activity):
        if task.retry is None or event["EventType"] != EventType.TASK_FAILED:
            return None
        return Timer(fire_at=now + timedelta(milliseconds=task.retry.interval_ms), retried=task)
    retried = task.retried
    if retried is None or retried.retry is None or retried.attempt >= retried.retry.max_attempts:
        return None
    return retried.model_copy(update={"attempt": retried.attempt + 1})


def _task_of(action: dict[str, Any]) -> Activity | Timer | None:
    kind = action["actionType"]
    if kind == _CREATE_TIMER:
        return Timer(fire_at=from_wire(action["fireAt"]))
    if kind not in (_CALL_ACTIVITY, _CALL_ACTIVITY_WITH_RETRY):
        return None
    options = action.get("retryOptions")
    retry = options and Retry(
        interval_ms=options["firstRetryIntervalInMilliseconds"], max_attempts=options["maxNumberOfAttempts"]
    )
    return Activity(function_name=action["functionName"], input=action.get("input"), retry=retry)


def _marker(task_id: int, task: Activity | Timer, now: datetime) -> Event:
    if isinstance(task, Timer):
        return new_event(EventType.TIMER_CREATED, now, task_id, FireAt=to_wire(task.fire_at))
    return new_event(EventType.TASK_SCHEDULED, now, task_id, Name=task.function_name)


def _outcome(answer: Answer, now: datetime) -> Ended | None:
    if answer.error:
        return Ended(at=now, status="Failed", output=answer.error)
    unsupported = sorted({each["actionType"] for each in answer.actions} - _SUPPORTED)
    if unsupported:
        names = ", ".join(_UNSUPPORTED.get(kind, f"action {kind}") for kind in unsupported)
        return Ended(at=now, status="Failed", output=f"The local host does not support {names}.")
    return Ended(at=now, status="Completed", output=answer.output) if answer.is_done else None


_SUPPORTED = {_CALL_ACTIVITY, _CALL_ACTIVITY_WITH_RETRY, _CONTINUE_AS_NEW, _CREATE_TIMER, _WAIT_FOR_EVENT}
_UNSUPPORTED = {
    2: "sub-orchestrations",
    3: "sub-orchestrations",
    7: "entities",
    8: "call_http",
    9: "entities",
}


def _external(events: list[Event]) -> list[Event]:
    return [event for event in events if event["EventType"] == EventType.EVENT_RAISED]


def _flat(actions: list[Any]) -> Iterator[dict[str, Any]]:
    """Open lists and when_all / when_any, which have no number of their own."""
    for action in actions:
        if isinstance(action, list):
            yield from _flat(action)
        elif "compoundActions" in action:
            yield from _flat(action["compoundActions"])
        else:
            yield action
