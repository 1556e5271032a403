"""Blobs, files, leases and journals on Azure Blob Storage. Every call is one request as long as all goes well."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast
from urllib.parse import urlsplit

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import (
    BlobProperties,
    BlobSasPermissions,
    ContentSettings,
    StandardBlobTier,
    generate_blob_sas,
)
from azure.storage.blob.aio import BlobClient, BlobLeaseClient, BlobPrefix, BlobServiceClient

from assay.errors import BlobChanged, BlobExists, BlobMissing, LeaseLost
from assay.storage.azure_errors import (
    CONDITION_NOT_MET,
    CONTAINER_NOT_FOUND,
    INVALID_RANGE,
    LEASE_ID_MISSING,
    service_code,
    translated,
)
from assay.storage.base import BlobEntry, LeaseState, Tier
from assay.storage.media_types import content_type
from assay.storage.rules import check_lease_seconds, checked_metadata, split_path, split_prefix

_CONCURRENT_BLOCKS = 4

Answer = TypeVar("Answer")


class AzureBlobs:
    """The blob ports over one `BlobServiceClient`, which the caller closes."""

    def __init__(self, blob_service: BlobServiceClient) -> None:
        self._blob_service = blob_service

    async def read(self, path: str, *, offset: int = 0, length: int | None = None) -> bytes:
        start = None if offset == 0 and length is None else offset
        # No range of zero bytes exists on the wire: ask for one byte, to learn whether the blob is there.
        count = None if length is None else max(length, 1)
        with translated(f"reading {path}"):
            try:
                stream = await self._blob(path).download_blob(start, count, max_concurrency=_CONCURRENT_BLOCKS)
                return (await stream.readall())[:length]
            except HttpResponseError as error:
                if service_code(error) != INVALID_RANGE:
                    raise
                return b""

    async def write(
        self, path: str, content: bytes, *, metadata: Mapping[str, str] | None = None, overwrite: bool = False
    ) -> str:
        settings = _settings(path, metadata)
        with translated(f"writing {path}"):
            try:
                answer = await self._creating_container(
                    path, lambda: self._blob(path).upload_blob(content, overwrite=overwrite, **settings)
                )
            except HttpResponseError as error:
                # Only a blob that exists can be leased; which of the two the service tells first is its own affair.
                if overwrite or service_code(error) != LEASE_ID_MISSING:
                    raise
                raise BlobExists(f"writing {path} failed: the blob exists and is leased") from error
        return _etag(answer["etag"])

    async def read_version(self, path: str) -> tuple[BlobEntry, bytes]:
        with translated(f"reading {path}"):
            stream = await self._blob(path).download_blob(max_concurrency=_CONCURRENT_BLOCKS)
            return _entry(path, stream.properties), await stream.readall()

    async def replace(self, path: str, content: bytes, *, etag: str) -> str:
        # Storage answers a condition on a missing blob as one that is not met, as it does for a changed blob.
        with translated(f"replacing {path}"):
            try:
                answer = await self._blob(path).upload_blob(
                    content, overwrite=True, **_only(etag), **_settings(path, None)
                )
            except HttpResponseError as error:
                if service_code(error) != CONDITION_NOT_MET:
                    raise
                await self._blob(path).get_blob_properties()
                raise BlobChanged(f"replacing {path} failed: its version is not {etag} any more") from error
        return _etag(answer["etag"])

    async def find(self, path: str) -> BlobEntry | None:
        try:
            with translated(f"looking for {path}"):
                return _entry(path, await self._blob(path).get_blob_properties())
        except BlobMissing:
            return None

    async def folders(self, prefix: str) -> list[str]:
        container, start = split_prefix(prefix)
        client = self._blob_service.get_container_client(container)
        with translated(f"listing the folders of {prefix}"), suppress(ResourceNotFoundError):
            items = client.walk_blobs(name_starts_with=start or None, delimiter="/")
            return sorted([_last_part(item.name) async for item in items if isinstance(item, BlobPrefix)])
        return []

    async def list(self, prefix: str) -> AsyncIterator[BlobEntry]:
        container, start = split_prefix(prefix)
        client = self._blob_service.get_container_client(container)
        with translated(f"listing {prefix}"), suppress(ResourceNotFoundError):
            async for blob in client.list_blobs(name_starts_with=start or None, include=["metadata"]):
                yield _entry(f"{container}/{blob.name}", blob)

    async def delete(self, path: str, *, lease: str | None = None) -> None:
        with suppress(BlobMissing), translated(f"deleting {path}"):
            await self._blob(path).delete_blob(lease=lease)

    async def download(self, path: str, target: Path, *, etag: str | None = None) -> BlobEntry:
        condition = _only(etag) if etag else {}
        part = target.with_name(f"{target.name}.part")
        with translated(f"downloading {path}"):
            stream = await self._blob(path).download_blob(max_concurrency=_CONCURRENT_BLOCKS, **condition)
            try:
                with await asyncio.to_thread(_open, part, "wb") as file:
                    await stream.readinto(file)
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)
        return _entry(path, stream.properties)

    async def upload(
        self, path: str, source: Path, *, metadata: Mapping[str, str] | None = None, tier: Tier | None = None
    ) -> str:
        settings = _settings(path, metadata)
        if tier:
            settings["standard_blob_tier"] = StandardBlobTier(tier.capitalize())

        async def send() -> dict[str, Any]:
            with await asyncio.to_thread(_open, source, "rb") as file:
                return await self._blob(path).upload_blob(
                    file, overwrite=True, max_concurrency=_CONCURRENT_BLOCKS, **settings
                )

        with translated(f"uploading {source.name} to {path}"):
            answer = await self._creating_container(path, send)
        return _etag(answer["etag"])

    async def link(self, path: str, begins_at: datetime, ends_at: datetime) -> str:
        """A service SAS by the account's key, else a user delegation SAS, for a Storage Blob Delegator."""
        service, (container, name) = self._blob_service, split_path(path)
        signed_by: dict[str, Any] = {"account_key": getattr(service.credential, "account_key", None)}
        if signed_by["account_key"] is None:
            with translated(f"asking for a key that signs links to {path}"):
                signed_by = {"user_delegation_key": await service.get_user_delegation_key(begins_at, ends_at)}
        signature = generate_blob_sas(
            str(service.account_name),
            container,
            name,
            permission=BlobSasPermissions(read=True),
            start=begins_at,
            expiry=ends_at,
            protocol=urlsplit(service.url).scheme,
            **signed_by,
        )
        return f"{self._blob(path).url}?{signature}"

    async def acquire(self, path: str, seconds: int) -> str:
        check_lease_seconds(path, seconds)
        with translated(f"leasing {path}"):
            return (await self._blob(path).acquire_lease(lease_duration=seconds)).id

    async def renew(self, path: str, lease: str) -> None:
        with translated(f"renewing the lease of {path}"):
            try:
                await BlobLeaseClient(self._blob(path), lease_id=lease).renew()
            except ResourceNotFoundError as error:
                raise LeaseLost(f"renewing the lease of {path} failed: the blob is gone") from error

    async def break_lease(self, path: str) -> float:
        # Nothing to break, and nothing there, are answered with errors.
        with suppress(BlobMissing, LeaseLost), translated(f"breaking the lease of {path}"):
            return float(await BlobLeaseClient(self._blob(path)).break_lease())
        return 0.0

    async def release(self, path: str, lease: str) -> None:
        with suppress(BlobMissing, LeaseLost), translated(f"releasing the lease of {path}"):
            await BlobLeaseClient(self._blob(path), lease_id=lease).release()

    async def open_journal(self, path: str) -> bool:
        settings = ContentSettings(content_type=content_type(path))
        with translated(f"opening the journal {path}"):
            try:
                await self._creating_container(
                    path,
                    lambda: self._blob(path).create_append_blob(
                        content_settings=settings, match_condition=MatchConditions.IfMissing
                    ),
                )
            except HttpResponseError as error:
                if service_code(error) not in ("BlobAlreadyExists", LEASE_ID_MISSING):
                    raise
                return False
        return True

    async def append(self, path: str, content: bytes, *, lease: str | None = None) -> None:
        if not content:  # a block of no bytes does not exist
            return
        with translated(f"appending to {path}"):
            await self._blob(path).append_block(content, length=len(content), lease=lease)

    def _blob(self, path: str) -> BlobClient:
        return self._blob_service.get_blob_client(*split_path(path))

    async def _creating_container(self, path: str, request: Callable[[], Awaitable[Answer]]) -> Answer:
        """The request's answer; if it meets no container, creates that and asks once more."""
        try:
            return await request()
        except ResourceNotFoundError as error:
            if service_code(error) != CONTAINER_NOT_FOUND:
                raise
        container, _ = split_path(path)
        with suppress(ResourceExistsError):
            await self._blob_service.create_container(container)
        return await request()


def _open(path: Path, mode: str) -> BinaryIO:
    return path.open(mode)  # type: ignore[return-value]


def _only(etag: str) -> dict[str, Any]:
    return {"etag": f'"{etag}"', "match_condition": MatchConditions.IfNotModified}


def _settings(path: str, metadata: Mapping[str, str] | None) -> dict[str, Any]:
    return {
        "content_settings": ContentSettings(content_type=content_type(path)),
        "metadata": checked_metadata(metadata),
    }


def _entry(path: str, blob: BlobProperties) -> BlobEntry:
    lease = cast(LeaseState, blob.lease.state or "available")
    tier = None if blob.blob_tier is None or blob.blob_tier_inferred else cast(Tier, str(blob.blob_tier).lower())
    return BlobEntry(path, blob.size, _etag(blob.etag), blob.last_modified, dict(blob.metadata or {}), lease, tier)


def _etag(quoted: Any) -> str:
    return str(quoted).strip('"')


def _last_part(folder: str) -> str:
    return folder.rstrip("/").rpartition("/")[2]
