"""The Azure DevOps sink. Every step can run again: what is there is compared by digest, and only the rest is pushed."""

import asyncio
import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from assay.errors import ServiceError
from assay.sinks.base import Bundle, Receipt
from assay.sinks.devops.api import LONGEST_DESCRIPTION, DevOpsRepository
from assay.sinks.git_files import GitDelivery, GitFile, difference, in_pieces, text_of
from assay.sinks.http import HttpService
from assay.suite.levels import Level
from assay.suite.sink_options import AzureDevOpsOptions

_MOST_BYTES_PER_PUSH = 12 * 1024 * 1024  # as Base64 in JSON well under what a request may hold
_MOST_RACES = 5


class AzureDevOpsSink:
    """Puts a bundle on a branch, in one commit where a request can hold it, and asks for a review."""

    def __init__(self, options: AzureDevOpsOptions, service: HttpService) -> None:
        self._options, self._service = options, service
        self._repository = DevOpsRepository(service, options.project, options.repository)

    @property
    def name(self) -> str:
        return self._options.name or "azure-devops"

    @property
    def clearance(self) -> Level:
        return self._options.clearance

    async def preview(self, bundle: Bundle) -> tuple[str, ...]:
        delivery = GitDelivery(bundle, self._options)
        files = await asyncio.to_thread(list, delivery.files())
        pushes = len(list(_pushes([_Change("add", one.path, one) for one in files])))
        target = f"{pushes} push(es) to {self._where}, branch {delivery.branch}, from {self._options.base or 'default'}"
        review = [f"pull request '{delivery.title}', labels: {', '.join(self._options.labels) or 'none'}"]
        return (target, *delivery.listed(files), *(review if self._options.pull_request else []))

    async def publish(self, bundle: Bundle) -> Receipt:
        delivery = GitDelivery(bundle, self._options)
        files = await asyncio.to_thread(list, delivery.files())
        base = self._options.base or await self._repository.default_branch()
        if base is None:
            raise ServiceError(f"{self._where} is empty: it needs a first commit")
        commit = await self._commit(delivery, files, base)
        details = {"repository": self._where, "branch": delivery.branch, "commit": commit}
        location = f"{self._service.base}/{quote(self._options.project)}/_git/{self._options.repository}"
        shown = f"{location}?path=/{delivery.folder}&version=GB{delivery.branch}"
        if self._options.pull_request and (number := await self._review(delivery, base)):
            details["pull_request"], shown = str(number), f"{location}/pullrequest/{number}"
        digest = bundle.manifest_sha256
        return Receipt(sink=self.name, location=shown, manifest_sha256=digest, files=len(files), details=details)

    async def close(self) -> None:
        await self._service.close()

    @property
    def _where(self) -> str:
        return f"{self._options.organization}/{self._options.project}/{self._options.repository}"

    async def _commit(self, delivery: GitDelivery, files: list[GitFile], base: str) -> str:
        """The commit at which the branch, or after a merge the base, has the files; pushes what is missing."""
        races = 0
        while races <= _MOST_RACES:
            parent = await self._repository.head(delivery.branch) or await self._repository.head(base)
            if parent is None:
                raise ServiceError(f"{self._where} has no branch '{base}'; name another one as the sink's base")
            there = await self._repository.files_in(parent, delivery.folder)
            piece = next(_pushes(_changes(files, there)), None)
            if piece is None:
                return parent
            at, changes = delivery.bundle.manifest.created, [await asyncio.to_thread(one.body) for one in piece]
            if await self._repository.push(delivery.branch, parent, delivery.message, at, changes) is None:
                races += 1
        raise ServiceError(f"the branch {delivery.branch} of {self._where} is changed by others all the time")

    async def _review(self, delivery: GitDelivery, base: str) -> int | None:
        """Number of the branch's pull request; one that was completed or abandoned stays as it is."""
        found = await self._repository.pull_request(delivery.branch, base)
        title, text = delivery.title, delivery.short_body(LONGEST_DESCRIPTION)
        if found is None and await self._repository.head(delivery.branch) is None:
            return None  # all is in the base already, and there is nothing to review
        if found is None:
            found = await self._repository.open_pull_request(delivery.branch, base, title, text)
        elif found["status"] == "active" and (found["title"], found.get("description") or "") != (title, text):
            await self._repository.change_pull_request(found["pullRequestId"], title, text)
        if found["status"] == "active":
            for label in self._options.labels:
                await self._repository.label(found["pullRequestId"], label)
        return int(found["pullRequestId"])


@dataclass(frozen=True)
class _Change:
    """What happens to one path; `file` is what it is to hold, None when it goes."""

    kind: str
    path: str
    file: GitFile | None = None

    @property
    def most_bytes(self) -> int:
        """What it takes in a request at most: Base64 of the content."""
        return 0 if self.file is None else 4 * ((self.file.size + 2) // 3)

    def body(self) -> dict[str, Any]:
        """As the API wants it. Reads the file."""
        change: dict[str, Any] = {"changeType": self.kind, "item": {"path": f"/{self.path}"}}
        return change if self.file is None else {**change, "newContent": _content(self.file.read())}


def _changes(files: list[GitFile], there: dict[str, str]) -> list[_Change]:
    """What makes the folder hold these files and no others."""
    changed, gone = difference(files, there)
    edits = (_Change("edit" if one.path in there else "add", one.path, one) for one in changed)
    return [*(_Change("delete", path) for path in gone), *edits]


def _content(content: bytes) -> dict[str, str]:
    text = text_of(content)
    if text is not None:
        return {"content": text, "contentType": "rawtext"}
    return {"content": base64.b64encode(content).decode(), "contentType": "base64encoded"}


def _pushes(changes: list[_Change]) -> Iterator[list[_Change]]:
    """The changes in groups that one push can hold."""
    return in_pieces(changes, lambda one: one.most_bytes, _MOST_BYTES_PER_PUSH)
