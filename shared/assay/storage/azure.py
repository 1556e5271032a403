"""All storage ports of one Azure storage account, or of Azurite. `runtime.py` makes it and closes it."""

from io import BytesIO
from typing import Any, Self

from azure.core.credentials_async import AsyncTokenCredential
from azure.core.pipeline.transport import AioHttpTransport
from azure.storage.blob.aio import BlobServiceClient, ExponentialRetry
from azure.storage.queue.aio import QueueServiceClient

from assay.errors import UserError
from assay.storage.azure_blob import AzureBlobs
from assay.storage.queue import AzureQueues

# One write is one request up to this size; larger content goes up as blocks, a few of which are in memory at a time.
_SINGLE_WRITE_BYTES = 16 * 1024 * 1024
_LARGE_BODY_BYTES = 1024 * 1024


class AzureStorage(AzureBlobs, AzureQueues):
    """Storage over two service clients, each with its pool of connections."""

    def __init__(self, blob_service: BlobServiceClient, queue_service: QueueServiceClient) -> None:
        AzureBlobs.__init__(self, blob_service)
        AzureQueues.__init__(self, queue_service)

    @classmethod
    def from_connection_string(cls, connection_string: str) -> Self:
        """For an account key, and for Azurite. Raises UserError when the text is no connection string."""
        try:
            return cls(
                BlobServiceClient.from_connection_string(connection_string, **_blob_options()),
                QueueServiceClient.from_connection_string(connection_string, **_queue_options()),
            )
        except ValueError as error:
            raise UserError(f"ASSAY_STORAGE is no storage connection string: {error}") from error

    @classmethod
    def from_urls(cls, blob_url: str, queue_url: str, credential: AsyncTokenCredential) -> Self:
        """For an identity. The credential stays the caller's to close."""
        return cls(
            BlobServiceClient(blob_url, credential, **_blob_options()),
            QueueServiceClient(queue_url, credential, **_queue_options()),
        )

    async def close(self) -> None:
        """Closes connections; a second call does nothing."""
        await self._blob_service.close()
        await self._queue_service.close()


class PiecewiseTransport(AioHttpTransport):  # type: ignore[misc]
    """Sends a large body in pieces: as one piece it would hold up the event loop, and aiohttp warns of that."""

    async def send(self, request: Any, **options: Any) -> Any:
        body = request.data
        if not isinstance(body, bytes) or len(body) <= _LARGE_BODY_BYTES:
            return await super().send(request, **options)
        request.data = BytesIO(body)
        try:
            return await super().send(request, **options)
        finally:
            request.data = body  # for the next try, as the stream has been read


def _blob_options() -> dict[str, Any]:
    return {
        "retry_policy": quick_retries(),
        "max_single_put_size": _SINGLE_WRITE_BYTES,
        "transport": PiecewiseTransport(),
    }


def _queue_options() -> dict[str, Any]:
    return {"retry_policy": quick_retries()}


def quick_retries() -> ExponentialRetry:
    """Three retries within seconds, for one client: the SDK's default waits 15 seconds before the first.

    The queue SDK has the same class, but exports only the one that blocks.
    """
    return ExponentialRetry(initial_backoff=1, increment_base=2)
