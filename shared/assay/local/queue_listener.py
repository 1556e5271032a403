"""Polls one storage queue for one queue-triggered function, as the Functions host's queue extension does.

Runs in the host, or in each of its worker processes. Several listeners may share a queue.
"""

import asyncio
from enum import Enum, auto

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.functions.meta import Datum
from azure.storage.queue import QueueMessage
from azure.storage.queue.aio import QueueClient

from assay.errors import MessageRefused
from assay.local.clock import pause
from assay.local.connections import Connections
from assay.local.functions import Function, connection_name
from assay.local.host_settings import QueueSettings
from assay.local.invocation import Invoker, as_json, text
from assay.local.queue_lease import MessageLease
from assay.local.queue_text import decode_body
from assay.telemetry import Telemetry

_POISON_SUFFIX = "-poison"
_LONGEST_QUEUE_NAME = 63
_SHORTEST_POLL_SECONDS = 0.1
_NEVER_EXPIRES = -1
# As long as Azure's lease. Shown sooner, a heap of messages that only a person can deal with keeps others waiting.
_HIDDEN_SECONDS = 600


class Verdict(Enum):
    """What becomes of a message after an attempt."""

    DONE = auto()
    RETRY = auto()
    POISON = auto()
    LEAVE = auto()  # stays invisible until its lease ends
    HIDE = auto()  # cannot be read, and there is no other queue for it


class QueueListener:
    """Takes messages and calls the function on each, at most `batch_size + refill_threshold` at once.

    A message is leased for `lease_seconds` and the lease renewed at half time while the function runs. In Azure the
    lease is ten minutes; a shorter one only means that the message of a killed host is tried again sooner.
    """

    def __init__(
        self,
        function: Function,
        connections: Connections,
        invoker: Invoker,
        settings: QueueSettings,
        lease_seconds: int,
        telemetry: Telemetry,
    ) -> None:
        self._function = function
        self._invoker = invoker
        self._settings = settings
        self._lease_seconds = lease_seconds
        self._telemetry = telemetry
        name, connection = function.trigger.options["queueName"], connection_name(function.trigger)
        self._queue = connections.queue(connection, name)
        # As in Azure: a queue of poison messages has none of its own, and a name may be too long to have one.
        has_poison_queue = not name.endswith(_POISON_SUFFIX) and len(name + _POISON_SUFFIX) <= _LONGEST_QUEUE_NAME
        self._poison_queue = connections.queue(connection, name + _POISON_SUFFIX) if has_poison_queue else None
        self._in_flight = 0
        self._has_finished_one = asyncio.Event()

    async def run(self, stopping: asyncio.Event) -> None:
        """Listen until `stopping` is set, then return once the running functions have ended; cancel to cut them off."""
        pause_seconds = _SHORTEST_POLL_SECONDS
        async with asyncio.TaskGroup() as running:
            while True:
                await self._wait_for_room()
                if stopping.is_set():
                    return
                messages = await self._receive()
                for message in messages:
                    self._in_flight += 1
                    running.create_task(self._process(message))
                if messages:
                    pause_seconds = _SHORTEST_POLL_SECONDS
                    continue
                await pause(stopping, pause_seconds)
                pause_seconds = min(pause_seconds * 2, self._settings.max_polling_interval_seconds)

    async def _wait_for_room(self) -> None:
        while self._in_flight > self._settings.refill_threshold:
            self._has_finished_one.clear()
            await self._has_finished_one.wait()

    async def _receive(self) -> list[QueueMessage]:
        """The next batch, or nothing: the queue is empty, or not there (it is created), or storage is in trouble."""
        try:
            messages = self._queue.receive_messages(
                messages_per_page=self._settings.batch_size, visibility_timeout=self._lease_seconds
            )
            async for page in messages.by_page():
                return [message async for message in page]  # one page is one request
        except ResourceNotFoundError:
            await self._create(self._queue)
        except AzureError as error:
            self._telemetry.problem("queue_unreachable", queue=self._queue.queue_name, error=str(error))
        return []

    async def _process(self, message: QueueMessage) -> None:
        lease = MessageLease(self._queue, message, self._lease_seconds, self._telemetry)
        try:
            async with lease:
                verdict = await self._attempt(message)
            await self._settle(message, lease, verdict)
        except AzureError as error:  # it will be seen again, by us or by who has it now
            fields = {"queue": self._queue.queue_name, "id": message.id, "error": str(error)}
            self._telemetry.problem("queue_message_lost", **fields)
        finally:
            self._in_flight -= 1
            self._has_finished_one.set()

    async def _attempt(self, message: QueueMessage) -> Verdict:
        if self._poison_queue and (message.dequeue_count or 0) > self._settings.max_dequeue_count:
            return Verdict.POISON  # every attempt so far ended with the death of the process
        try:
            body = decode_body(message.content, self._settings.message_encoding)
        except MessageRefused as error:
            self._telemetry.problem("queue_undecodable", queue=self._queue.queue_name, id=message.id, error=str(error))
            return Verdict.POISON if self._poison_queue else Verdict.HIDE
        try:
            await self._invoker.invoke(self._function, _datum(body), _metadata(message))
        except Exception:  # reported by the invoker
            return self._verdict_on_failure(message)
        return Verdict.DONE

    def _verdict_on_failure(self, message: QueueMessage) -> Verdict:
        if self._poison_queue is None:
            return Verdict.LEAVE  # as in Azure: to show it again at once would be a fast endless loop
        is_last = (message.dequeue_count or 0) >= self._settings.max_dequeue_count
        return Verdict.POISON if is_last else Verdict.RETRY

    async def _settle(self, message: QueueMessage, lease: MessageLease, verdict: Verdict) -> None:
        if verdict is Verdict.RETRY:
            await lease.release(self._settings.visibility_timeout_seconds)
        if verdict is Verdict.HIDE:
            await lease.release(_HIDDEN_SECONDS)
        if verdict is Verdict.POISON and self._poison_queue:
            # First the copy, then the deletion: a crash between them makes two copies, never none.
            await self._create(self._poison_queue)
            await self._poison_queue.send_message(message.content, time_to_live=_NEVER_EXPIRES)
            fields = {"queue": self._queue.queue_name, "id": message.id, "dequeue_count": message.dequeue_count}
            self._telemetry.problem("queue_poison", **fields)
        if verdict in (Verdict.DONE, Verdict.POISON):
            await lease.delete()

    async def _create(self, queue: QueueClient) -> None:
        try:
            await queue.create_queue()
        except ResourceExistsError:
            pass
        except AzureError as error:
            self._telemetry.problem("queue_unreachable", queue=queue.queue_name, error=str(error))


def _datum(body: str | bytes) -> Datum:
    return text(body) if isinstance(body, str) else Datum(body, "bytes")


def _metadata(message: QueueMessage) -> dict[str, Datum]:
    """The trigger metadata that the queue extension sends along."""
    moments = {
        "ExpirationTime": message.expires_on,
        "InsertionTime": message.inserted_on,
        "NextVisibleTime": message.next_visible_on,
    }
    return {
        "Id": text(message.id),
        "DequeueCount": as_json(message.dequeue_count),
        "PopReceipt": text(message.pop_receipt or ""),
        **{name: as_json(moment.isoformat()) for name, moment in moments.items() if moment},
    }
