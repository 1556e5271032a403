"""Storage clients by connection name, opened when first used. Called by the listeners and for output bindings."""

from collections.abc import Mapping

from azure.storage.blob.aio import BlobServiceClient, ContainerClient
from azure.storage.queue.aio import QueueClient, QueueServiceClient

from assay.errors import UserError
from assay.storage.azure import quick_retries


class Connections:
    """The storage accounts that the app's bindings name. `settings` maps a connection name to a connection string."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = settings
        self._blob_services: dict[str, BlobServiceClient] = {}
        self._queue_services: dict[str, QueueServiceClient] = {}

    def container(self, connection: str, name: str) -> ContainerClient:
        """A client of one container. Raises UserError when the setting is missing."""
        if connection not in self._blob_services:
            secret = self._secret(connection)
            self._blob_services[connection] = BlobServiceClient.from_connection_string(
                secret, retry_policy=quick_retries()
            )
        return self._blob_services[connection].get_container_client(name)

    def queue(self, connection: str, name: str) -> QueueClient:
        """A client of one queue, with messages as plain text. Raises UserError when the setting is missing."""
        if connection not in self._queue_services:
            secret = self._secret(connection)
            self._queue_services[connection] = QueueServiceClient.from_connection_string(
                secret, retry_policy=quick_retries()
            )
        return self._queue_services[connection].get_queue_client(name)

    async def close(self) -> None:
        """Close every client. A second call does nothing."""
        for blob_service in self._blob_services.values():
            await blob_service.close()
        for queue_service in self._queue_services.values():
            await queue_service.close()
        self._blob_services.clear()
        self._queue_services.clear()

    def _secret(self, connection: str) -> str:
        if not self._settings.get(connection):
            raise UserError(
                f"The app's bindings use the connection '{connection}', but the environment has none. Set it."
            )
        return self._settings[connection]
