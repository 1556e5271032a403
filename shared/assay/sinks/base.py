"""The sink port: a place where a sealed bundle is published."""

from pathlib import Path
from typing import Protocol

from assay.records import Record


class Receipt(Record):
    """What a sink answered: where the bundle is now, and which bundle it was."""

    sink: str
    location: str
    manifest_sha256: str
    files: int


class Sink(Protocol):
    """Publishes bundles. Publishing the same bundle again changes nothing."""

    @property
    def name(self) -> str:
        """Unique among the sinks of a run."""
        ...

    async def publish(self, run: str, bundle: Path) -> Receipt:
        """Delivers every file of the bundle, the manifest last. Raises ServiceError; then it may be called again."""
        ...
