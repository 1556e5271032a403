"""Storage clients by connection name, opened when first used. Called by the listeners and for output bindings."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import TypeVar

from azure.core.credentials_async import AsyncTokenCredential
from azure.storage.blob.aio import BlobServiceClient, ContainerClient
from azure.storage.queue.aio import QueueClient, QueueServiceClient

from assay.errors import UserError
from assay.settings import azure_credential
from assay.storage.azure import quick_retries

Service = TypeVar("Service", BlobServiceClient, QueueServiceClient)


class Connections:
    """The storage accounts that the app's bindings name, as the Functions host finds them in `settings`.

    A connection is a setting with a connection string; or, for an identity, the settings `<name>__blobServiceUri` and
    `<name>__queueServiceUri`, with `<name>__credential` and `<name>__clientId` for a managed identity.
    """

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = settings
        self._blob_services: dict[str, BlobServiceClient] = {}
        self._queue_services: dict[str, QueueServiceClient] = {}
        self._credentials: dict[str, AsyncTokenCredential] = {}

    def container(self, connection: str, name: str) -> ContainerClient:
        """A client of one container. Raises UserError when the setting is missing."""
        if connection not in self._blob_services:
            self._blob_services[connection] = self._service(BlobServiceClient, connection, "blobServiceUri")
        return self._blob_services[connection].get_container_client(name)

    def queue(self, connection: str, name: str) -> QueueClient:
        """A client of one queue, with messages as plain text. Raises UserError when the setting is missing."""
        if connection not in self._queue_services:
            self._queue_services[connection] = self._service(QueueServiceClient, connection, "queueServiceUri")
        return self._queue_services[connection].get_queue_client(name)

    async def close(self) -> None:
        """Close every client and credential. A second call does nothing."""
        async with AsyncExitStack() as ends:
            for opened in (self._credentials, self._queue_services, self._blob_services):  # the last ones end first
                for one in opened.values():
                    ends.push_async_callback(one.close)
                opened.clear()

    def _service(self, kind: type[Service], connection: str, address: str) -> Service:
        if secret := self._settings.get(connection):
            return kind.from_connection_string(secret, retry_policy=quick_retries())
        if url := self._settings.get(f"{connection}__{address}"):
            return kind(url, self._credential(connection), retry_policy=quick_retries())
        raise UserError(
            f"The app's bindings use the connection '{connection}', but the environment has neither it nor "
            f"{connection}__{address}. Set one of them."
        )

    def _credential(self, connection: str) -> AsyncTokenCredential:
        if connection not in self._credentials:
            client_id = self._settings.get(f"{connection}__clientId") or self._settings.get("AZURE_CLIENT_ID")
            only_managed = self._settings.get(f"{connection}__credential") == "managedidentity"
            self._credentials[connection] = azure_credential(client_id, only_managed=only_managed)
        return self._credentials[connection]
