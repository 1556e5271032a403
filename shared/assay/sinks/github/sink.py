"""The GitHub sink. Every step can run again: branch and pull request are found by name, content by its digest."""

import asyncio
import base64
from typing import Any

from assay.errors import ServiceError
from assay.sinks.base import Bundle, Receipt
from assay.sinks.git_files import GitDelivery, GitFile, difference, in_pieces, text_of
from assay.sinks.github.api import GitHubRepository
from assay.sinks.http import HttpService
from assay.suite.levels import Level
from assay.suite.sink_options import GitHubOptions

_MOST_TEXT_PER_TREE = 2 * 1024 * 1024
_MOST_MOVES = 5
_FILE_MODE = "100644"


class GitHubSink:
    """Puts a bundle on a branch in one commit, and asks for a review with the report's summary."""

    def __init__(self, options: GitHubOptions, service: HttpService) -> None:
        self._options, self._service = options, service
        self._repository = GitHubRepository(service, options.repository)

    @property
    def name(self) -> str:
        return self._options.name or "github"

    @property
    def clearance(self) -> Level:
        return self._options.clearance

    async def preview(self, bundle: Bundle) -> tuple[str, ...]:
        delivery = GitDelivery(bundle, self._options)
        files = delivery.listed(await asyncio.to_thread(list, delivery.files()))
        review = [f"pull request '{delivery.title}', labels: {', '.join(self._options.labels) or 'none'}"]
        target = (
            f"commit to {self._options.repository}, branch {delivery.branch}, from {self._options.base or 'default'}"
        )
        return (target, *files, *(review if self._options.pull_request else []))

    async def publish(self, bundle: Bundle) -> Receipt:
        delivery = GitDelivery(bundle, self._options)
        files = await asyncio.to_thread(list, delivery.files())
        base = self._options.base or await self._repository.default_branch()
        commit = await self._commit(delivery, files, base)
        details = {"repository": self._options.repository, "branch": delivery.branch, "commit": commit}
        location = f"https://github.com/{self._options.repository}/tree/{delivery.branch}/{delivery.folder}"
        if self._options.pull_request and (review := await self._review(delivery, base)):
            details["pull_request"], location = str(review[0]), review[1]
        return Receipt(
            sink=self.name,
            location=location,
            manifest_sha256=bundle.manifest_sha256,
            files=len(files),
            details=details,
        )

    async def close(self) -> None:
        await self._service.close()

    async def _commit(self, delivery: GitDelivery, files: list[GitFile], base: str) -> str:
        """The commit that has the files: the branch's, or the base's after a merge, if they do; else a new one."""
        repository, at = self._repository, delivery.bundle.manifest.created
        for _ in range(_MOST_MOVES):
            head = await repository.head(delivery.branch)
            parent = head or await repository.head(base)
            if parent is None:
                raise ServiceError(
                    f"{self._options.repository} has no branch '{base}'; name another one as the sink's base"
                )
            tree = await self._tree(await repository.tree_of(parent), delivery.folder, files)
            if tree is None:
                return parent
            commit = await repository.make_commit(delivery.message, tree, parent, at)
            moved = repository.move_branch if head else repository.make_branch
            if await moved(delivery.branch, commit):
                return commit
        raise ServiceError(
            f"the branch {delivery.branch} of {self._options.repository} is changed by others all the time"
        )

    async def _tree(self, base_tree: str, folder: str, files: list[GitFile]) -> str | None:
        """The tree with these files and no others in the folder, made in pieces that a request can hold.

        None when the base is that already.
        """
        there = await self._repository.files_in(base_tree, folder)
        changed, gone = difference(files, there)
        if not changed and not gone:
            return None
        if gone:
            base_tree = await self._repository.make_tree(base_tree, [_deletion(path) for path in gone])
        for piece in in_pieces(changed, lambda one: one.size, _MOST_TEXT_PER_TREE):
            base_tree = await self._repository.make_tree(base_tree, [await self._entry(one) for one in piece])
        return base_tree

    async def _entry(self, file: GitFile) -> dict[str, Any]:
        """Text travels with its tree, all else as a blob of its own."""
        entry = {"path": file.path, "mode": _FILE_MODE, "type": "blob"}
        content = await asyncio.to_thread(file.read)
        text = text_of(content) if file.size <= _MOST_TEXT_PER_TREE else None
        if text is not None:
            return {**entry, "content": text}
        return {**entry, "sha": await self._repository.make_blob(base64.b64encode(content).decode())}

    async def _review(self, delivery: GitDelivery, base: str) -> tuple[int, str] | None:
        """Number and address of the branch's pull request; one that was merged or closed stays as it is."""
        found = await self._repository.pull_request(delivery.branch, base)
        title, text = delivery.title, delivery.body
        if found is None and await self._repository.head(delivery.branch) is None:
            return None  # all is in the base already, and there is nothing to review
        if found is None:
            found = await self._repository.open_pull_request(delivery.branch, base, title, text)
        elif found["state"] == "open" and (found["title"], found.get("body") or "") != (title, text):
            await self._repository.change_pull_request(found["number"], title, text)
        if self._options.labels and found["state"] == "open":
            await self._repository.label(found["number"], self._options.labels)
        return found["number"], found["html_url"]


def _deletion(path: str) -> dict[str, Any]:
    return {"path": path, "mode": _FILE_MODE, "type": "blob", "sha": None}
