"""Publishes bundles to the blob container `bundles` of the run's own storage account."""

import asyncio
import tempfile
from pathlib import Path

from assay.sinks.archive import write_archive
from assay.sinks.base import Bundle, Receipt
from assay.storage import layout
from assay.storage.base import Storage
from assay.suite.levels import Level
from assay.suite.sink_options import BlobOptions


class BlobSink:
    """One folder per run in the container `bundles`. Whoever sees the manifest there sees the whole bundle."""

    name = "blob"

    def __init__(self, options: BlobOptions, storage: Storage) -> None:
        self._options, self._storage = options, storage

    @property
    def clearance(self) -> Level:
        return self._options.clearance

    async def preview(self, bundle: Bundle) -> tuple[str, ...]:
        prefix = layout.published(bundle.run)
        archive = [f"zip {layout.archived(bundle.run)}"] if self._options.archive else []
        return (*(f"blob {prefix}{name} ({file.stat().st_size} bytes)" for name, file in bundle.files), *archive)

    async def publish(self, bundle: Bundle) -> Receipt:
        prefix = layout.published(bundle.run)
        names = {name for name, _ in bundle.files}
        for name, file in bundle.files:
            await self._storage.upload(prefix + name, file, tier=self._options.tier)
        stale = [one.path async for one in self._storage.list(prefix) if one.path.removeprefix(prefix) not in names]
        for path in stale:
            await self._storage.delete(path)
        if self._options.archive:
            await self._archive(bundle)
        return Receipt(sink=self.name, location=prefix, manifest_sha256=bundle.manifest_sha256, files=len(names))

    async def close(self) -> None:
        """There is nothing to close: the storage account is the process's."""

    async def _archive(self, bundle: Bundle) -> None:
        with tempfile.TemporaryDirectory(prefix="assay-archive-") as folder:
            file = Path(folder) / "bundle.zip"
            await asyncio.to_thread(write_archive, bundle, file)
            await self._storage.upload(layout.archived(bundle.run), file, tier=self._options.tier)
