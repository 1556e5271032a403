"""What of a bundle goes into a Git repository, and where: the same for GitHub and Azure DevOps.

Files are told by size and digest first; only those that the repository lacks are read whole, one request at a time.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from assay.errors import NameRefused
from assay.provenance.manifest import path_fault
from assay.sinks.base import Bundle
from assay.storage.bundle_names import MANIFEST_NAME
from assay.suite.sink_options import GitSinkOptions

Item = TypeVar("Item")

POINTER_SUFFIX = ".pointer.json"
_MEGABYTE = 1024 * 1024
_PIECE = 1024 * 1024
_LONGEST_BODY = 60_000


@dataclass(frozen=True)
class GitFile:
    """A file of the commit. `path` is from the repository's top, `sha` what Git calls the content."""

    path: str
    source: Path | bytes
    size: int
    sha: str

    @classmethod
    def of(cls, path: str, source: Path | bytes) -> "GitFile":
        """Reads the source piece by piece: Git's name for a content is the SHA-1 of its blob."""
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        digest = hashlib.sha1(b"blob %d\x00" % size, usedforsecurity=False)
        if isinstance(source, bytes):
            digest.update(source)
        else:
            with source.open("rb") as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
        return cls(path, source, size, digest.hexdigest())

    def read(self) -> bytes:
        """The whole content."""
        return self.source if isinstance(self.source, bytes) else self.source.read_bytes()


def text_of(content: bytes) -> str | None:
    """The content where it is text that a request can hold as it is."""
    try:
        return content.decode() if b"\x00" not in content else None
    except UnicodeDecodeError:
        return None


@dataclass(frozen=True)
class GitDelivery:
    """A bundle on its way into a repository, with all names filled in."""

    bundle: Bundle
    options: GitSinkOptions

    @property
    def branch(self) -> str:
        return self._filled(self.options.branch)

    @property
    def folder(self) -> str:
        """The folder of the results. Raises NameRefused for one that is unsafe or would be run by the host."""
        folder = self._filled(self.options.folder).strip("/")
        if fault := path_fault(folder):
            raise NameRefused(f"the sink's folder '{folder}' cannot be used: {fault}")
        if folder.casefold().split("/")[0] in (".git", ".github", ".gitlab", ".azuredevops"):
            raise NameRefused(f"the sink's folder '{folder}' belongs to the host; results must not change what it runs")
        return folder

    @property
    def title(self) -> str:
        return self._filled(self.options.title)

    @property
    def message(self) -> str:
        """The commit's message: which bundle it is."""
        return f"{self.title}\n\nRun: {self.bundle.run}\nManifest-SHA256: {self.bundle.manifest_sha256}\n"

    @property
    def body(self) -> str:
        """The pull request's text: the report's summary, cut where a host would refuse it."""
        proof = (
            f"Manifest SHA-256: `{self.bundle.manifest_sha256}`. Check the folder with `assay verify {self.folder}`."
        )
        summary = self.bundle.summary
        if len(summary) > _LONGEST_BODY:
            summary = summary[:_LONGEST_BODY] + "\n\n(cut; the whole report is in the folder)"
        return f"{summary}\n\n---\n{proof}\n".lstrip()

    def short_body(self, longest: int) -> str:
        """The text for hosts that take less of it."""
        note = f"\n\n(cut) Manifest SHA-256: `{self.bundle.manifest_sha256}`"
        return self.body if len(self.body) <= longest else self.body[: longest - len(note)] + note

    @staticmethod
    def listed(files: list[GitFile]) -> list[str]:
        """The files as a preview shows them."""
        return [f"file {one.path} ({one.size} bytes)" for one in files]

    def files(self) -> Iterator[GitFile]:
        """Every file, the manifest last; large ones as pointers. Reads all of them. Raises NameRefused for an unsafe
        folder.
        """
        folder = self.folder
        digests = {artifact.path: artifact.sha256 for artifact in self.bundle.manifest.artifacts}
        for name, file in self.bundle.files:
            size = file.stat().st_size
            if size <= self.options.largest_file_mb * _MEGABYTE or name == MANIFEST_NAME:
                yield GitFile.of(f"{folder}/{name}", file)
            else:
                pointer = {"file": name, "size": size, "sha256": digests.get(name), "run": self.bundle.run}
                text = json.dumps({"pointer": pointer}, indent=1, sort_keys=True) + "\n"
                yield GitFile.of(f"{folder}/{name}{POINTER_SUFFIX}", text.encode())

    def _filled(self, text: str) -> str:
        return text.replace("{run}", self.bundle.run).replace("{suite}", self.bundle.suite)


def difference(files: list[GitFile], there: Mapping[str, str]) -> tuple[list[GitFile], list[str]]:
    """The files to put and the paths to drop, so that a folder with these blobs by path holds the files alone."""
    changed = [one for one in files if there.get(one.path) != one.sha]
    return changed, sorted(there.keys() - {one.path for one in files})


def in_pieces(items: Iterable[Item], size_of: Callable[[Item], int], most: int) -> Iterator[list[Item]]:
    """The items in groups of at most so many bytes together; what is larger by itself makes a group of its own."""
    piece: list[Item] = []
    size = 0
    for one in items:
        if piece and size + size_of(one) > most:
            yield piece
            piece, size = [], 0
        piece.append(one)
        size += size_of(one)
    if piece:
        yield piece
