"""What GitHub's REST API is asked, and what its answers mean. See docs.github.com/rest, version 2022-11-28."""

import time
from typing import Any

import httpx2

from assay.sinks.http import HttpService, retry_after

HEADERS = {
    "Accept": "application/vnd.github+json",
    "X-GitHub-Api-Version": "2022-11-28",
    "User-Agent": "assay",
}
_SECONDARY_LIMIT_SECONDS = 60.0


def waiting(response: httpx2.Response) -> float | None:
    """Seconds until the service wants to be asked again: `retry-after`, or until the limit's reset.

    A secondary limit without either asks for a minute at least.
    """
    if (seconds := retry_after(response)) is not None:
        return seconds
    if response.headers.get("x-ratelimit-remaining") == "0":
        reset = response.headers.get("x-ratelimit-reset", "")
        return max(1.0, float(reset) - time.time()) if reset.isdecimal() else _SECONDARY_LIMIT_SECONDS
    return _SECONDARY_LIMIT_SECONDS if is_limited(response) else None


def is_limited(response: httpx2.Response) -> bool:
    """Whether a refusal is a rate limit: GitHub answers 403 to those as well."""
    if response.status_code not in (403, 429):
        return False
    limited = "retry-after" in response.headers or response.headers.get("x-ratelimit-remaining") == "0"
    return limited or "rate limit" in response.text.lower()


def explain(response: httpx2.Response) -> str:
    """What to do about a refusal."""
    match response.status_code:
        case 401:
            return "The token is wrong or has ended: renew ASSAY_GITHUB_TOKEN, or the app's key."
        case 403:
            needed = response.headers.get("x-accepted-github-permissions", "contents=write; pull_requests=write")
            return f"The token may not do this; it needs: {ascii(needed)[1:-1][:200]}."
        case 404:
            return "The repository is not there, or the token may not see it."
        case 409:
            return "The repository may be empty: it needs a first commit."
        case _:
            return ""


class GitHubRepository:
    """The calls that the sink makes, for one repository. All raise as `HttpService.ask` does."""

    def __init__(self, service: HttpService, repository: str) -> None:
        self._service, self._path = service, f"/repos/{repository}"
        self.owner = repository.partition("/")[0]

    async def default_branch(self) -> str:
        return str((await self._service.ask("GET", self._path)).json()["default_branch"])

    async def head(self, branch: str) -> str | None:
        """The commit of a branch, or None when there is no such branch."""
        response = await self._service.ask("GET", f"{self._path}/git/ref/{_ref(branch)}", fine=(404,))
        return None if response.status_code == 404 else str(response.json()["object"]["sha"])

    async def tree_of(self, commit: str) -> str:
        return str((await self._service.ask("GET", f"{self._path}/git/commits/{commit}")).json()["tree"]["sha"])

    async def files_in(self, tree: str, folder: str) -> dict[str, str]:
        """The blobs under a folder of a tree, by path from the repository's top; nothing when it is not there."""
        for name in folder.split("/"):
            entries = await self._entries(tree)
            found = next((one for one in entries if one["path"] == name and one["type"] == "tree"), None)
            if found is None:
                return {}
            tree = found["sha"]
        entries = await self._entries(tree, recursive="1")
        return {f"{folder}/{one['path']}": one["sha"] for one in entries if one["type"] == "blob"}

    async def _entries(self, tree: str, **params: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = (
            await self._service.ask("GET", f"{self._path}/git/trees/{tree}", params=params)
        ).json()["tree"]
        return entries

    async def make_blob(self, base64: str) -> str:
        body = {"content": base64, "encoding": "base64"}
        return str((await self._service.ask("POST", f"{self._path}/git/blobs", body)).json()["sha"])

    async def make_tree(self, base_tree: str, entries: list[dict[str, Any]]) -> str:
        body = {"base_tree": base_tree, "tree": entries}
        return str((await self._service.ask("POST", f"{self._path}/git/trees", body)).json()["sha"])

    async def make_commit(self, message: str, tree: str, parent: str, at: str) -> str:
        """The commit; the same words, tree, parent and time give the same one."""
        signed = {"name": "Assay", "email": "assay@users.noreply.github.com", "date": at}
        body = {"message": message, "tree": tree, "parents": [parent], "author": signed, "committer": signed}
        return str((await self._service.ask("POST", f"{self._path}/git/commits", body)).json()["sha"])

    async def make_branch(self, branch: str, commit: str) -> bool:
        """Whether it was made; false when somebody made it before."""
        body = {"ref": f"refs/heads/{branch}", "sha": commit}
        return (await self._service.ask("POST", f"{self._path}/git/refs", body, fine=(422,))).status_code == 201

    async def move_branch(self, branch: str, commit: str) -> bool:
        """Whether it was moved; false when it went elsewhere meanwhile."""
        path, body = f"{self._path}/git/refs/{_ref(branch)}", {"sha": commit, "force": False}
        return (await self._service.ask("PATCH", path, body, fine=(422,))).status_code == 200

    async def pull_request(self, branch: str, base: str) -> dict[str, Any] | None:
        """The newest pull request from a branch, open or not."""
        params = {"head": f"{self.owner}:{branch}", "base": base, "state": "all"}
        found: list[dict[str, Any]] = (await self._service.ask("GET", f"{self._path}/pulls", params=params)).json()
        return max(found, key=lambda one: int(one["number"]), default=None)

    async def open_pull_request(self, branch: str, base: str, title: str, text: str) -> dict[str, Any]:
        body = {"title": title, "head": branch, "base": base, "body": text}
        opened: dict[str, Any] = (await self._service.ask("POST", f"{self._path}/pulls", body)).json()
        return opened

    async def change_pull_request(self, number: int, title: str, text: str) -> None:
        await self._service.ask("PATCH", f"{self._path}/pulls/{number}", {"title": title, "body": text})

    async def label(self, number: int, labels: tuple[str, ...]) -> None:
        """Adds labels; those that are there stay as they are."""
        await self._service.ask("POST", f"{self._path}/issues/{number}/labels", {"labels": list(labels)})


def _ref(branch: str) -> str:
    return f"heads/{branch}".replace("/", "%2F")
