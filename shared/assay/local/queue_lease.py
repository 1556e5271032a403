"""Keeps a received queue message invisible to others while its function runs. Called by the queue listener only."""

import asyncio
from types import TracebackType
from typing import Self

from azure.core.exceptions import AzureError
from azure.storage.queue import QueueMessage
from azure.storage.queue.aio import QueueClient

from assay.local.clock import pause
from assay.telemetry import Telemetry


class MessageLease:
    """Renews the lease at half time between entering and leaving; afterwards `delete` or `release` settle the message.

    A renewal that has begun is waited for, never cancelled: storage may have carried it out, and then only the receipt
    in its answer can delete the message.
    """

    def __init__(self, queue: QueueClient, message: QueueMessage, lease_seconds: int, telemetry: Telemetry) -> None:
        self._queue = queue
        self._message_id = message.id
        self._receipt = message.pop_receipt
        self._lease_seconds = lease_seconds
        self._telemetry = telemetry
        self._is_settled = asyncio.Event()
        self._renewal: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._renewal = asyncio.create_task(self._renew())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_settled.set()
        if self._renewal:
            await self._renewal

    async def delete(self) -> None:
        """Remove the message from the queue. Raises AzureError if somebody else has it by now."""
        await self._queue.delete_message(self._message_id, self._receipt)

    async def release(self, after_seconds: float) -> None:
        """Show the message again after so many seconds. Raises AzureError if somebody else has it by now."""
        await self._extend(round(after_seconds))

    async def _renew(self) -> None:
        while not self._is_settled.is_set():
            await pause(self._is_settled, self._lease_seconds / 2)
            if self._is_settled.is_set():
                return
            try:
                await self._extend(self._lease_seconds)
            except AzureError as error:
                fields = {"queue": self._queue.queue_name, "id": self._message_id, "error": str(error)}
                self._telemetry.problem("queue_renewal_failed", **fields)

    async def _extend(self, seconds: int) -> None:
        updated = await self._queue.update_message(self._message_id, self._receipt, visibility_timeout=seconds)
        self._receipt = updated.pop_receipt
