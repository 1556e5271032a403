"""Sending to Azure Storage queues, in the form that the Functions host reads."""

from contextlib import suppress

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.queue import TextBase64EncodePolicy
from azure.storage.queue.aio import QueueServiceClient

from assay.storage.azure_errors import translated

_NEVER_EXPIRES = -1


class AzureQueues:
    """The queue port over one `QueueServiceClient`, which the caller closes."""

    def __init__(self, queue_service: QueueServiceClient) -> None:
        self._queue_service = queue_service

    async def send(self, queue: str, text: str, *, delay_seconds: int = 0) -> None:
        client = self._queue_service.get_queue_client(queue, message_encode_policy=TextBase64EncodePolicy())
        delay = delay_seconds or None
        with translated(f"sending to the queue {queue}"):
            try:
                await client.send_message(text, visibility_timeout=delay, time_to_live=_NEVER_EXPIRES)
            except ResourceNotFoundError:
                with suppress(ResourceExistsError):
                    await client.create_queue()
                await client.send_message(text, visibility_timeout=delay, time_to_live=_NEVER_EXPIRES)
