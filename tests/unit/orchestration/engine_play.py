"""Plays the part of the Durable extension by hand: keeps a history and asks the real engine what is next."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.durable_functions import Orchestrator, RetryOptions

from assay.orchestration.run import HINT, conduct

START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
ATTEMPTS = 2
SHORT_HISTORY = 150
RETRIES = RetryOptions(first_retry_interval_in_milliseconds=5_000, max_number_of_attempts=ATTEMPTS)
PATIENCE_MS = 15_000
PATIENCE = RetryOptions(first_retry_interval_in_milliseconds=PATIENCE_MS, max_number_of_attempts=ATTEMPTS)

EXECUTION_STARTED, TASK_SCHEDULED, TASK_COMPLETED, TASK_FAILED = 0, 4, 5, 6
TIMER_CREATED, TIMER_FIRED, ORCHESTRATOR_STARTED, ORCHESTRATOR_COMPLETED, EVENT_RAISED = 10, 11, 12, 13, 15
CALL_ACTIVITY_WITH_RETRY, CONTINUE_AS_NEW, CREATE_TIMER = 1, 4, 5

Event = dict[str, Any]


def run(context: Any) -> Any:
    return (yield from conduct(context, RETRIES, PATIENCE))


ENGINE = Orchestrator.create(run)


class Play:
    """One execution of the orchestrator. While its history is short, every episode is replayed twice and must agree."""

    def __init__(self, argument: Any, now: datetime = START) -> None:
        self.now = now
        self.history: list[Event] = []
        self.episodes = 0
        self.answer: dict[str, Any] = {}
        self.error: str | None = None
        self._argument = json.dumps(argument)
        self._actions_seen = self._next_id = 0
        self._open: dict[int, int] = {}  # number of the task -> place of its action
        self._episode(self._event(EXECUTION_STARTED, 0, Name="run", Version=None, Input=self._argument))

    # what the orchestrator waits for

    @property
    def activity(self) -> str | None:
        """The activity that is under way, if there is one."""
        return next((one["functionName"] for _, one in self._activities()), None)

    @property
    def order(self) -> dict[str, Any]:
        """The input of the activity under way."""
        (found,) = (json.loads(one["input"]) for _, one in self._activities())
        assert isinstance(found, dict)
        return found

    @property
    def is_patient(self) -> bool:
        """Whether the activity under way is retried with patience."""
        ((_, found),) = self._activities()
        return bool(found["retryOptions"]["firstRetryIntervalInMilliseconds"] == PATIENCE_MS)

    @property
    def pause_seconds(self) -> float:
        """How long the one open timer runs from now."""
        ((_, timer),) = self._timers()
        return (self._fires_at(timer) - self.now).total_seconds()

    @property
    def is_done(self) -> bool:
        return bool(self.answer["isDone"]) or self.error is not None

    @property
    def output(self) -> Any:
        return self.answer.get("output")

    @property
    def next_argument(self) -> Any:
        """The input of the next execution, when this one continued as new."""
        found = [one["input"] for one in self._flat() if one["actionType"] == CONTINUE_AS_NEW]
        return json.loads(found[0]) if found else None

    @property
    def cancelled_timers(self) -> int:
        return sum(bool(one.get("isCanceled")) for one in self._flat() if one["actionType"] == CREATE_TIMER)

    # what happens

    def completes(self, result: Any = None, *, seconds: float = 0.1) -> None:
        """The activity under way ends well."""
        self._pass(seconds)
        ((at, _),) = self._activities()
        self._episode(self._event(TASK_COMPLETED, TaskScheduledId=at, Result=json.dumps(result)), ends=at)

    def fails_for_good(self, reason: str) -> None:
        """Every attempt of the activity under way fails; the engine numbers a pause after each, even the last."""
        ((at, _),) = self._activities()
        for attempt in range(1, ATTEMPTS + 1):
            pause = self._take_id()
            self._episode(
                self._event(TASK_FAILED, TaskScheduledId=at, Reason=reason, Details="traceback"),
                ends=at,
                hidden=self._event(TIMER_CREATED, pause, FireAt=_wire(self.now)),
            )
            self._pass(5)
            hidden = None
            if attempt < ATTEMPTS:
                at = self._take_id()
                hidden = self._event(TASK_SCHEDULED, at, Name="again")
            self._episode(self._event(TIMER_FIRED, TimerId=pause, FireAt=_wire(self.now)), hidden=hidden)

    def timer_fires(self) -> None:
        """Time passes until the open timer."""
        ((at, timer),) = self._timers()
        self.now = max(self.now, self._fires_at(timer))
        self._episode(self._event(TIMER_FIRED, TimerId=at, FireAt=timer["fireAt"]), ends=at)

    def hint(self) -> None:
        """A worker says that the run may be over."""
        self._pass(0.1)
        self._episode(self._event(EVENT_RAISED, Name=HINT, Input="null"))

    # the protocol

    def _episode(self, event: Event, ends: int | None = None, hidden: Event | None = None) -> None:
        started = self._event(ORCHESTRATOR_STARTED)
        shown = [started, event]
        self.answer, self.error = self._replay(shown)
        if len(self.history) < SHORT_HISTORY:
            assert (self.answer, self.error) == self._replay(shown), "two replays of one history differ"
        self.episodes += 1
        self._open.pop(-1 if ends is None else ends, None)
        markers = [hidden] if hidden else []
        actions = self._flat()
        for place in range(self._actions_seen, len(actions)):
            if actions[place]["actionType"] in (CALL_ACTIVITY_WITH_RETRY, CREATE_TIMER):
                at = self._take_id()
                self._open[at] = place
                markers.append(self._marker(at, actions[place]))
        self._actions_seen = len(actions)
        self._open = {at: place for at, place in self._open.items() if not actions[place].get("isCanceled")}
        self.history += [{**one, "IsPlayed": True} for one in (*shown, *markers, self._event(ORCHESTRATOR_COMPLETED))]

    def _replay(self, new: list[Event]) -> tuple[dict[str, Any], str | None]:
        context = {
            "history": self.history + new,
            "instanceId": "support-triage-1",
            "isReplaying": bool(self.history),
            "parentInstanceId": None,
            "input": self._argument,
            "upperSchemaVersion": 2,
            "upperSchemaVersionNew": 2,
            "maximumShortTimerDuration": "6.00:00:00",
            "longRunningTimerIntervalDuration": "3.00:00:00",
        }
        try:
            return json.loads(ENGINE(json.dumps(context))), None
        except Exception as error:
            message, _, state = str(error).rpartition("\n\n$OutOfProcData$:")
            return json.loads(state), message

    def _event(self, kind: int, at: int = -1, **fields: Any) -> Event:
        return {"EventType": kind, "EventId": at, "IsPlayed": False, "Timestamp": _wire(self.now), **fields}

    def _marker(self, at: int, action: Event) -> Event:
        if action["actionType"] == CREATE_TIMER:
            return self._event(TIMER_CREATED, at, FireAt=action["fireAt"])
        return self._event(TASK_SCHEDULED, at, Name=action["functionName"])

    def _flat(self) -> list[Event]:
        return list(_opened(self.answer["actions"]))

    def _activities(self) -> list[tuple[int, Event]]:
        actions = self._flat()
        return [(at, actions[place]) for at, place in self._open.items() if "functionName" in actions[place]]

    def _timers(self) -> list[tuple[int, Event]]:
        actions = self._flat()
        return [(at, actions[place]) for at, place in self._open.items() if "fireAt" in actions[place]]

    def _take_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1

    def _pass(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @staticmethod
    def _fires_at(timer: Event) -> datetime:
        return datetime.strptime(timer["fireAt"], _FORMAT).replace(tzinfo=UTC)


_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


def _wire(moment: datetime) -> str:
    return moment.strftime(_FORMAT)


def _opened(actions: list[Any]) -> Iterator[Event]:
    for action in actions:
        if isinstance(action, list):
            yield from _opened(action)
        elif "compoundActions" in action:
            yield from _opened(action["compoundActions"])
        else:
            yield action
