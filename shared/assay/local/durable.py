"""The task hub: stands in for the Durable Functions extension and drives the real azure-functions-durable 1.7 engine.

Called by the host, and by the routes that serve DurableOrchestrationClient. Everything runs on one event loop.
"""

import asyncio
from collections.abc import Collection, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import uuid4

from assay.errors import AssayError
from assay.local.clock import Clock, SystemClock, drain
from assay.local.durable_protocol import (
    Answer,
    decide,
    episode_events,
    next_batch,
    next_execution,
    read_answer,
    read_failure,
    request_body,
)
from assay.local.durable_records import (
    Activity,
    AnyLine,
    Ended,
    Event,
    EventType,
    Instance,
    Paused,
    Received,
    Started,
    Timer,
    new_event,
    to_wire,
)
from assay.local.durable_store import HistoryStore
from assay.local.host_settings import DurableTaskSettings
from assay.telemetry import Telemetry


class DurableFunctions(Protocol):
    """The functions that a task hub calls. An exception is the failure of the function."""

    @property
    def orchestrators(self) -> Collection[str]:
        """The names that may be started."""
        ...

    async def run_orchestrator(self, name: str, context: str) -> str:
        """Show the history to an orchestrator; returns the engine's state as JSON text."""
        ...

    async def run_activity(self, name: str, input_text: str | None) -> str:
        """Run an activity on JSON text; returns its result as JSON text."""
        ...


class InstanceMissing(AssayError):
    """There is no orchestration instance of this id."""


class InstanceOver(AssayError):
    """The orchestration instance has ended."""


class InstanceRunning(AssayError):
    """An orchestration instance of this id has not ended yet."""


class OrchestratorMissing(AssayError):
    """There is no orchestrator function of this name."""


@dataclass(frozen=True)
class InstanceQuery:
    """Chooses instances; an unset field chooses all."""

    created_from: datetime | None = None
    created_to: datetime | None = None
    statuses: frozenset[str] = frozenset()
    id_prefix: str = ""

    def matches(self, instance: Instance) -> bool:
        return (
            (self.created_from is None or instance.created >= self.created_from)
            and (self.created_to is None or instance.created <= self.created_to)
            and (not self.statuses or instance.status in self.statuses)
            and instance.instance_id.startswith(self.id_prefix)
        )


class TaskHub:
    """Orchestration instances, their pending tasks and their histories on disk.

    Every change is on disk before it is acted on, so a killed host goes on where it was: orchestrators replay, a task
    whose result was not written runs again. As in Azure, activities therefore run at least once.
    """

    def __init__(
        self,
        store: HistoryStore,
        functions: DurableFunctions,
        limits: DurableTaskSettings,
        telemetry: Telemetry,
        clock: Clock | None = None,
    ) -> None:
        self._store = store
        self._functions = functions
        self._telemetry = telemetry
        self._clock = clock or SystemClock()
        self._activity_slots = asyncio.Semaphore(limits.max_concurrent_activity_functions)
        self._orchestrator_slots = asyncio.Semaphore(limits.max_concurrent_orchestrator_functions)
        self._instances: dict[str, Instance] = {}
        self._driven: set[Instance] = set()  # an instance has one driver, so its episodes never overlap
        # Apart from each other: a stop waits for what works, and never for what only waits.
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    def start(self) -> None:
        """Load the histories and go on with every instance that has not ended."""
        for lines in self._store.load():
            instance = _rebuild(lines)
            self._instances[instance.instance_id] = instance
            for task_id, task in instance.unfinished_tasks().items():
                self._launch(instance, task_id, task)
            self._nudge(instance)

    async def stop(self, drain_seconds: float) -> None:
        """Begin nothing new, let what runs finish for up to `drain_seconds`, then cancel it. Nothing is lost."""
        self._is_stopping = True
        await drain(self._timers, 0)
        await drain(self._tasks, drain_seconds)

    def start_instance(self, name: str, instance_id: str | None, input_text: str | None) -> str:
        """Start an orchestration and return its id. An instance of the same id that has ended is replaced.

        Raises OrchestratorMissing, or InstanceRunning.
        """
        if name not in self._functions.orchestrators:
            known = ", ".join(sorted(self._functions.orchestrators)) or "none"
            raise OrchestratorMissing(
                f"The function '{name}' doesn't exist or is no orchestrator function. Known: {known}."
            )
        instance_id = instance_id or uuid4().hex
        old = self._instances.get(instance_id)
        if old and not old.is_over:
            raise InstanceRunning(f"An Orchestration instance with the status {old.status} already exists.")
        started = Started(instance_id=instance_id, name=name, input=input_text, created=self._clock.now())
        self._store.replace(instance_id, [started])
        self._instances[instance_id] = Instance(started)
        self._nudge(self._instances[instance_id])
        self._telemetry.event("durable_started", orchestrator=name, instance=instance_id)
        return instance_id

    def raise_event(self, instance_id: str, event_name: str, payload: str) -> None:
        """Hand an external event (JSON text) to an instance; it is kept until the instance waits for it.

        Raises InstanceMissing, or InstanceOver.
        """
        instance = self._running(instance_id)
        self._receive(instance, new_event(EventType.EVENT_RAISED, self._clock.now(), Name=event_name, Input=payload))

    def terminate(self, instance_id: str, reason: str | None) -> None:
        """End an instance at once and drop what its tasks still bring. Raises InstanceMissing, or InstanceOver."""
        instance = self._running(instance_id)
        ended = Ended(at=self._clock.now(), status="Terminated", output=reason)
        self._record(instance, ended)
        self._report_end(instance, ended)

    def suspend(self, instance_id: str) -> None:
        """Stop showing events to an instance; they are kept. Raises InstanceMissing, or InstanceOver."""
        self._record(self._running(instance_id), Paused(is_suspended=True))

    def resume(self, instance_id: str) -> None:
        """Undo `suspend`. Raises InstanceMissing, or InstanceOver."""
        instance = self._running(instance_id)
        self._record(instance, Paused(is_suspended=False))
        self._nudge(instance)

    def find(self, instance_id: str) -> Instance:
        """Return an instance. Raises InstanceMissing."""
        if instance_id not in self._instances:
            raise InstanceMissing(f"No instance with ID '{instance_id}' found.")
        return self._instances[instance_id]

    def select(self, query: InstanceQuery) -> list[Instance]:
        """Return the instances that match, oldest first."""
        found = (instance for instance in self._instances.values() if query.matches(instance))
        return sorted(found, key=lambda instance: instance.created)

    def history(self, instance: Instance) -> list[Event]:
        """The history events of the instance's current (or last) execution."""
        return self._store.events(instance.instance_id)

    def purge(self, instances: list[Instance]) -> int:
        """Forget those of the instances that have ended, and say how many those were."""
        ended = [instance for instance in instances if instance.is_over]
        for instance in ended:
            self._store.remove(instance.instance_id)
            self._instances.pop(instance.instance_id, None)
        return len(ended)

    def _running(self, instance_id: str) -> Instance:
        instance = self.find(instance_id)
        if instance.is_over:
            raise InstanceOver(f"Instance with ID '{instance_id}' has ended: {instance.status}.")
        return instance

    def _record(self, instance: Instance, line: AnyLine) -> None:
        self._store.append(instance.instance_id, line)
        instance.apply(line)

    def _receive(self, instance: Instance, event: Event) -> None:
        self._record(instance, Received(event=event))
        self._nudge(instance)

    def _spawn(self, work: Coroutine[Any, Any, None], group: set[asyncio.Task[None]]) -> None:
        task = asyncio.create_task(work)
        group.add(task)
        task.add_done_callback(group.discard)

    def _nudge(self, instance: Instance) -> None:
        """See that an instance with waiting events is being driven."""
        if instance.is_ready and instance not in self._driven and not self._is_stopping:
            self._driven.add(instance)
            self._spawn(self._drive(instance), self._tasks)

    async def _drive(self, instance: Instance) -> None:
        try:
            while instance.is_ready and not self._is_stopping:
                await self._run_episode(instance)
        finally:
            self._driven.discard(instance)

    async def _run_episode(self, instance: Instance) -> None:
        async with self._orchestrator_slots:
            if not instance.is_ready:  # terminated or suspended while it waited for a slot
                return
            batch = next_batch(instance)
            events = episode_events(instance, batch, self._clock.now())
            answer = await self._ask(instance, events)
        if instance.is_over:  # terminated while the orchestrator ran: its answer no longer counts
            return
        episode = decide(instance, batch, events, answer, self._clock.now())
        # No record of this episode: the next execution's records replace the whole file in one step.
        if answer.next_input is not None and not answer.error:
            self._continue_as_new(instance, next_execution(instance, episode, answer))
            return
        self._record(instance, episode)
        if episode.final:
            self._report_end(instance, episode.final)
        for task_id in episode.scheduled if not instance.is_over else ():
            self._launch(instance, task_id, episode.scheduled[task_id])

    async def _ask(self, instance: Instance, events: list[Event]) -> Answer:
        try:
            return read_answer(await self._functions.run_orchestrator(instance.name, request_body(instance, events)))
        except Exception as error:
            return read_failure(error)

    def _continue_as_new(self, instance: Instance, lines: list[AnyLine]) -> None:
        """Replace the history by that of the next execution, which keeps file and memory small."""
        self._store.replace(instance.instance_id, lines)
        for line in lines:
            instance.apply(line)

    def _report_end(self, instance: Instance, ended: Ended) -> None:
        fields = {"orchestrator": instance.name, "instance": instance.instance_id, "status": ended.status}
        if ended.status == "Failed":
            self._telemetry.problem("durable_ended", **fields, error=ended.output)
        else:
            self._telemetry.event("durable_ended", **fields)

    def _launch(self, instance: Instance, task_id: int, task: Activity | Timer) -> None:
        if isinstance(task, Timer):
            self._spawn(self._run_timer(instance, instance.execution, task_id, task), self._timers)
        else:
            self._spawn(self._run_activity(instance, instance.execution, task_id, task), self._tasks)

    async def _run_timer(self, instance: Instance, execution: int, task_id: int, timer: Timer) -> None:
        await self._clock.sleep_until(timer.fire_at)
        fire_at = to_wire(timer.fire_at)
        event = new_event(EventType.TIMER_FIRED, self._clock.now(), TimerId=task_id, FireAt=fire_at)
        self._complete(instance, execution, event)

    async def _run_activity(self, instance: Instance, execution: int, task_id: int, activity: Activity) -> None:
        async with self._activity_slots:
            if self._is_stopping or instance.is_over:  # while it waited for the slot
                return
            event = await self._call_activity(task_id, activity)
        self._complete(instance, execution, event)

    async def _call_activity(self, task_id: int, activity: Activity) -> Event:
        name = activity.function_name
        try:
            result = await self._functions.run_activity(name, activity.input)
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            failure = {"Reason": f"Activity function '{name}' failed: {text}", "Details": text}
            return new_event(EventType.TASK_FAILED, self._clock.now(), TaskScheduledId=task_id, **failure)
        return new_event(EventType.TASK_COMPLETED, self._clock.now(), TaskScheduledId=task_id, Result=result)

    def _complete(self, instance: Instance, execution: int, event: Event) -> None:
        """Take in the end of a task, unless the instance has ended or continued as new since the task began."""
        if not instance.is_over and instance.execution == execution:
            self._receive(instance, event)


def _rebuild(lines: list[AnyLine]) -> Instance:
    started, *rest = lines
    if not isinstance(started, Started):
        raise TypeError(f"a history begins with 'started', found {started.record!r}")
    instance = Instance(started)
    for line in rest:
        instance.apply(line)
    return instance
