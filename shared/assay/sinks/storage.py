"""Publishes bundles to the blob container `bundles`."""

import hashlib
from pathlib import Path

from assay.provenance.manifest import MANIFEST_NAME
from assay.sinks.base import Receipt
from assay.storage import layout
from assay.storage.base import Storage


class BlobSink:
    """One folder per run in the container `bundles`. Whoever sees the manifest there sees the whole bundle."""

    name = "blob"

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def publish(self, run: str, bundle: Path) -> Receipt:
        prefix = layout.published(run)
        files = sorted(path for path in bundle.rglob("*") if path.is_file())
        for file in sorted(files, key=lambda path: path.name == MANIFEST_NAME):
            await self._storage.upload(f"{prefix}{file.relative_to(bundle).as_posix()}", file)
        digest = hashlib.sha256((bundle / MANIFEST_NAME).read_bytes()).hexdigest()
        return Receipt(sink=self.name, location=prefix, manifest_sha256=digest, files=len(files))
