"""Polls one container for one blob-triggered function, as the Functions host's blob extension does. Called by the host.

A trigger with `source="EventGrid"` is polled as well, because Azurite sends no events.
"""

import asyncio
import hashlib
import json
import re
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.functions.meta import Datum
from azure.storage.blob import BlobProperties

from assay.local.clock import pause
from assay.local.connections import Connections
from assay.local.functions import Function, connection_name
from assay.local.host_settings import BlobSettings
from assay.local.invocation import Invoker, as_json, text
from assay.local.queue_text import Encoding, encode_body
from assay.telemetry import Telemetry

RECEIPTS_CONTAINER = "azure-webjobs-hosts"
POISON_QUEUE = "webjobs-blobtrigger-poison"
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_LISTING_SHARE = 5  # a poll waits this many times as long as its listing took


@dataclass(frozen=True)
class BlobPath:
    """A trigger's path, such as `inbox/{suite}/{name}.csv`: `prefix` is what every matching name begins with."""

    container: str
    prefix: str
    pattern: re.Pattern[str]


@dataclass(frozen=True)
class Found:
    """One version of one blob, with what the placeholders of the path stand for."""

    name: str
    etag: str
    placeholders: dict[str, str]


def parse_blob_path(path: str) -> BlobPath:
    """Read a trigger's path. A placeholder matches up to the next slash, the last one the rest with its slashes."""
    container, _, rest = path.partition("/")
    rest = rest or "{name}"
    pieces = _PLACEHOLDER.split(rest)  # literal, placeholder, literal, ...
    last = len(pieces) - 2
    groups = (
        re.escape(piece) if index % 2 == 0 else f"(?P<{piece}>{'.+' if index == last else '[^/]+'})"
        for index, piece in enumerate(pieces)
    )
    return BlobPath(container, pieces[0], re.compile("".join(groups), re.DOTALL))


class BlobListener:
    """Calls the function once for each version (ETag) of each blob that matches, at most so many at once.

    A receipt in `azure-webjobs-hosts` says that a version is dealt with. It is written after the function has
    succeeded, or has failed `poison_blob_threshold` times and a message went to `webjobs-blobtrigger-poison`; so a
    version whose function was killed runs again.
    """

    def __init__(
        self,
        function: Function,
        connections: Connections,
        invoker: Invoker,
        settings: BlobSettings,
        encoding: Encoding,
        poll_seconds: float,
        telemetry: Telemetry,
    ) -> None:
        self._function = function
        self._invoker = invoker
        self._settings = settings
        self._encoding = encoding
        self._poll_seconds = poll_seconds
        self._telemetry = telemetry
        connection = connection_name(function.trigger)
        self._path = parse_blob_path(function.trigger.options["path"])
        self._container = connections.container(connection, self._path.container)
        self._receipts = connections.container(connection, RECEIPTS_CONTAINER)
        self._poison_queue = connections.queue(connection, POISON_QUEUE)
        self._slots = asyncio.Semaphore(settings.max_degree_of_parallelism)
        self._known: set[tuple[str, str]] = set()  # versions that are dealt with or being dealt with
        self._failures: Counter[tuple[str, str]] = Counter()

    async def run(self, stopping: asyncio.Event) -> None:
        """Poll until `stopping` is set, then return once the running functions have ended. Cancelling cancels them."""
        async with asyncio.TaskGroup() as running:
            while not stopping.is_set():
                started = time.monotonic()
                for found in await self._list_new():
                    running.create_task(self._process(found, stopping))
                listing_seconds = time.monotonic() - started
                await pause(stopping, max(self._poll_seconds, _LISTING_SHARE * listing_seconds))

    async def _list_new(self) -> list[Found]:
        """Versions not known yet. What is gone from the container is forgotten, so memory follows the listing."""
        try:
            listed = {(found.name, found.etag): found for found in await self._list()}
        except AzureError as error:
            self._telemetry.problem("blob_unreachable", container=self._path.container, error=str(error))
            return []
        new = [found for version, found in listed.items() if version not in self._known]
        self._known = set(listed)  # and not a union, which would grow for ever
        return new

    async def _list(self) -> list[Found]:
        matching: list[Found] = []
        try:
            async for blob in self._container.list_blobs(name_starts_with=self._path.prefix):
                match = self._path.pattern.fullmatch(blob.name)
                if match:
                    matching.append(Found(blob.name, blob.etag, match.groupdict()))
        except ResourceNotFoundError:
            await self._create_containers()
        return matching

    async def _process(self, found: Found, stopping: asyncio.Event) -> None:
        version = (found.name, found.etag)
        async with self._slots:
            if stopping.is_set():
                return
            try:
                is_settled = await self._has_receipt(found) or await self._attempt(found)
            except AzureError as error:
                self._telemetry.problem("blob_unreachable", blob=found.name, error=str(error))
                is_settled = False
        if not is_settled:
            self._known.discard(version)  # the next poll finds it again

    async def _attempt(self, found: Found) -> bool:
        """Call the function once; says whether this version is dealt with."""
        version = (found.name, found.etag)
        content = await self._read(found)
        if content is None:
            return True  # a newer version has an ETag of its own and is listed under it
        data, metadata = content
        try:
            await self._invoker.invoke(self._function, data, metadata)
        except Exception:  # reported by the invoker
            self._failures[version] += 1
            if self._failures[version] < self._settings.poison_blob_threshold:
                return False
            await self._send_to_poison(found)
        del self._failures[version]
        await self._write_receipt(found)
        return True

    async def _read(self, found: Found) -> tuple[Datum, dict[str, Datum]] | None:
        """The blob's content and trigger metadata, or None if this version is gone by now."""
        blob = self._container.get_blob_client(found.name)
        try:
            stream = await blob.download_blob(etag=found.etag, match_condition=MatchConditions.IfNotModified)
            content = await stream.readall()
        except (ResourceNotFoundError, ResourceModifiedError):
            return None
        metadata = {
            "BlobTrigger": text(f"{self._path.container}/{found.name}"),
            "Uri": text(blob.url),
            "Properties": as_json(_shown_properties(stream.properties)),
            "Metadata": as_json(stream.properties.metadata or {}),
            **{name: text(value) for name, value in found.placeholders.items()},
        }
        return Datum(content, "bytes"), metadata

    def _receipt_name(self, found: Found) -> str:
        """One name per function, version and blob; digested, as a blob's own name may be of the greatest length."""
        digest = hashlib.sha256(f"{self._path.container}/{found.name}".encode()).hexdigest()
        return f"blobreceipts/local/{self._function.name}/{found.etag.strip(chr(34))}/{digest}"

    async def _has_receipt(self, found: Found) -> bool:
        return await self._receipts.get_blob_client(self._receipt_name(found)).exists()

    async def _write_receipt(self, found: Found) -> None:
        body = {"container": self._path.container, "blob": found.name, "etag": found.etag}
        try:
            await self._receipts.upload_blob(self._receipt_name(found), json.dumps(body), overwrite=True)
        except ResourceNotFoundError:
            await self._create_containers()
            await self._receipts.upload_blob(self._receipt_name(found), json.dumps(body), overwrite=True)

    async def _send_to_poison(self, found: Found) -> None:
        message = {
            "FunctionId": self._function.name,
            "BlobType": "BlockBlob",
            "ContainerName": self._path.container,
            "BlobName": found.name,
            "ETag": found.etag,
        }
        with suppress(ResourceExistsError):
            await self._poison_queue.create_queue()
        await self._poison_queue.send_message(encode_body(json.dumps(message), self._encoding))
        self._telemetry.problem("blob_poison", function=self._function.name, blob=found.name)

    async def _create_containers(self) -> None:
        for container in (self._container, self._receipts):
            with suppress(ResourceExistsError):
                await container.create_container()


def _shown_properties(properties: BlobProperties) -> dict[str, object]:
    """The blob's properties under the names that the blob extension uses."""
    modified = properties.last_modified
    return {
        "ETag": properties.etag,
        "ContentLength": properties.size,
        "Length": properties.size,
        "ContentType": properties.content_settings.content_type,
        "LastModified": modified.isoformat() if modified else None,
    }
