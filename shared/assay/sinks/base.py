"""The sink port: a place where a sealed bundle is published."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from pydantic import Field

from assay.provenance.manifest import Manifest, read_manifest
from assay.records import Record
from assay.storage.bundle_names import MANIFEST_NAME
from assay.suite.levels import Level


class Receipt(Record):
    """What a sink answered: where the bundle is now, and which bundle it was."""

    sink: str
    location: str
    manifest_sha256: str
    files: int
    details: dict[str, str] = Field(default_factory=dict, description="What the sink calls it: commit, pull request")


@dataclass(frozen=True)
class Bundle:
    """A sealed and verified bundle in a folder. `summary` is the report's summary in Markdown.

    `view` names the view of the run's bundle that it is; without a name it is the whole one.
    """

    run: str
    suite: str
    folder: Path
    summary: str = ""
    view: str = ""

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"view '{self.view}' of the bundle of {self.run}" if self.view else f"bundle of {self.run}"

    @property
    def file_name(self) -> str:
        """What a file or folder of it is called: views lie beside the whole one."""
        return f"{self.run}.{self.view}" if self.view else self.run

    @cached_property
    def manifest_bytes(self) -> bytes:
        return (self.folder / MANIFEST_NAME).read_bytes()

    @cached_property
    def manifest(self) -> Manifest:
        return read_manifest(self.manifest_bytes)

    @property
    def manifest_sha256(self) -> str:
        return hashlib.sha256(self.manifest_bytes).hexdigest()

    @property
    def files(self) -> Iterator[tuple[str, Path]]:
        """Every file by its path in the bundle, the manifest last: whoever sees it sees the whole bundle."""
        found = sorted(path for path in self.folder.rglob("*") if path.is_file())
        for file in sorted(found, key=lambda path: path.name == MANIFEST_NAME):
            yield file.relative_to(self.folder).as_posix(), file


class Sink(Protocol):
    """Publishes bundles. Publishing the same bundle again changes nothing."""

    @property
    def name(self) -> str:
        """Unique among the sinks of a run."""
        ...

    @property
    def clearance(self) -> Level:
        """The highest level that may go there."""
        ...

    async def preview(self, bundle: Bundle) -> tuple[str, ...]:
        """What `publish` would send, a line each; sends nothing. Raises UserError for what it would refuse."""
        ...

    async def publish(self, bundle: Bundle) -> Receipt:
        """Delivers every file of the bundle, the manifest last or all at once.

        Raises UserError when the place refuses, ServiceError when it does not answer; then it may be called again.
        """
        ...

    async def close(self) -> None:
        """Closes connections; a second call does nothing."""
        ...
