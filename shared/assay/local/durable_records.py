"""The records of one orchestration instance and the state they add up to. A history file is these records as lines.

Event sourcing: the task hub appends a record, then applies it; reading the file back applies the same records again.
"""

from datetime import UTC, datetime
from enum import IntEnum
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Event = dict[str, Any]  # one history event in the JSON shape of the Durable extension
WIRE_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


class EventType(IntEnum):
    """The history events that are used here, numbered as in the Durable extension's out-of-process protocol."""

    EXECUTION_STARTED = 0
    TASK_SCHEDULED = 4
    TASK_COMPLETED = 5
    TASK_FAILED = 6
    TIMER_CREATED = 10
    TIMER_FIRED = 11
    ORCHESTRATOR_STARTED = 12
    ORCHESTRATOR_COMPLETED = 13
    EVENT_RAISED = 15


Status = Literal["Pending", "Running", "Suspended", "Completed", "Failed", "Terminated"]


def to_wire(moment: datetime) -> str:
    """The extension's text for a moment, in UTC."""
    return moment.astimezone(UTC).strftime(WIRE_FORMAT)


def from_wire(text: str) -> datetime:
    """Read the extension's text for a moment."""
    return datetime.strptime(text, WIRE_FORMAT).replace(tzinfo=UTC)


def new_event(event_type: EventType, moment: datetime, event_id: int = -1, /, **fields: Any) -> Event:
    """A history event that the orchestrator has not seen yet."""
    return {"EventType": event_type, "EventId": event_id, "IsPlayed": False, "Timestamp": to_wire(moment), **fields}


def task_id_of(event: Event) -> int:
    """The id of the task that an event completes, or -1 for an event that completes none."""
    return cast(int, event.get("TaskScheduledId", event.get("TimerId", -1)))


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class Retry(_Record):
    """The retry options of `call_activity_with_retry`."""

    interval_ms: int
    max_attempts: int


class Activity(_Record):
    """A scheduled activity; `input` is JSON text."""

    kind: Literal["activity"] = "activity"
    function_name: str
    input: str | None
    retry: Retry | None = None
    attempt: int = 1


class Timer(_Record):
    """A scheduled timer. With `retried` it is the pause before the next attempt of that activity."""

    kind: Literal["timer"] = "timer"
    fire_at: datetime
    retried: Activity | None = None


Task = Annotated[Activity | Timer, Field(discriminator="kind")]


class Started(_Record):
    """The first line. `execution` counts the lives of an instance: each continue_as_new begins the next."""

    record: Literal["started"] = "started"
    instance_id: str
    name: str
    input: str | None
    created: datetime
    execution: int = 1
    custom_status: Any = None


class Received(_Record):
    """An event that waits for the next episode: a finished task or an external event."""

    record: Literal["received"] = "received"
    event: Event


class Episode(_Record):
    """One call of the orchestrator: the events it saw or caused, and the tasks it scheduled.

    `consumed` counts the waiting events it was given; `final` is set when the orchestrator returned or raised.
    """

    record: Literal["episode"] = "episode"
    at: datetime
    consumed: int
    events: list[Event]
    scheduled: dict[int, Task]
    next_id: int
    actions_seen: int
    custom_status: Any = None
    final: "Ended | None" = None


class Ended(_Record):
    """The outcome of the instance; `output` is the result, the error text or the reason of a termination."""

    record: Literal["ended"] = "ended"
    at: datetime
    status: Status
    output: Any = None


class Paused(_Record):
    """The instance was suspended, or resumed."""

    record: Literal["paused"] = "paused"
    is_suspended: bool


Line = Annotated[Started | Received | Episode | Ended | Paused, Field(discriminator="record")]
LINE: TypeAdapter[Started | Received | Episode | Ended | Paused] = TypeAdapter(Line)
AnyLine = Started | Received | Episode | Ended | Paused


class Instance:
    """One orchestration instance: what its records add up to. Changes only by `apply`."""

    def __init__(self, started: Started) -> None:
        self.instance_id = started.instance_id
        self.name = started.name
        self.created = self.updated = started.created
        self._begin(started)

    def _begin(self, started: Started) -> None:
        self.input = started.input
        self.execution = started.execution
        self.custom_status: Any = started.custom_status
        self.history: list[Event] = []
        self.inbox: list[Event] = []
        self.pending: dict[int, Activity | Timer] = {}
        self.next_id = 0
        self.actions_seen = 0
        self.outcome: Ended | None = None
        self.is_suspended = False

    @property
    def is_over(self) -> bool:
        return self.outcome is not None

    @property
    def status(self) -> Status:
        if self.outcome:
            return self.outcome.status
        if self.is_suspended:
            return "Suspended"
        return "Running" if self.history or self.execution > 1 else "Pending"

    @property
    def is_ready(self) -> bool:
        """The orchestrator has something to see."""
        return not self.is_over and not self.is_suspended and bool(self.inbox or not self.history)

    def unfinished_tasks(self) -> dict[int, Activity | Timer]:
        """Scheduled tasks with no result yet, not even one that waits: those to run (again) after a restart."""
        finished = {task_id_of(event) for event in self.inbox}
        return {task_id: task for task_id, task in self.pending.items() if task_id not in finished}

    def apply(self, line: AnyLine) -> None:
        """Take one record into the state. `Started` begins the next execution."""
        match line:
            case Started():
                self._begin(line)
            case Received():
                self.inbox.append(line.event)
            case Episode():
                self._advance(line)
            case Ended():
                self._end(line)
            case Paused():
                self.is_suspended = line.is_suspended

    def _advance(self, episode: Episode) -> None:
        for event in self.inbox[: episode.consumed]:
            self.pending.pop(task_id_of(event), None)
        del self.inbox[: episode.consumed]
        self.history += [{**event, "IsPlayed": True} for event in episode.events]
        self.pending.update(episode.scheduled)
        self.next_id, self.actions_seen = episode.next_id, episode.actions_seen
        self.custom_status, self.updated = episode.custom_status, episode.at
        if episode.final:
            self._end(episode.final)

    def _end(self, ended: Ended) -> None:
        """A finished instance keeps no history in memory; the store still has it."""
        self.outcome, self.updated = ended, ended.at
        self.pending, self.inbox, self.history = {}, [], []
