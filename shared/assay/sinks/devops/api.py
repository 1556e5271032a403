"""What the Git REST API of Azure DevOps is asked, and what its answers mean. See its reference, version 7.1."""

from typing import Any
from urllib.parse import quote

import httpx2

from assay.sinks.http import HttpService

VERSION = {"api-version": "7.1"}
LONGEST_DESCRIPTION = 4000
_SIGN_IN_PAGE = 203


def explain(response: httpx2.Response) -> str:
    """What to do about a refusal."""
    match response.status_code:
        case 203 | 302 | 401:
            return "The token is wrong or has ended, or the organisation does not know the identity: add it there."
        case 403:
            return "The identity needs Contribute, Create branch and Contribute to pull requests on the repository."
        case 404:
            return "The project, repository or branch is not there, or the identity may not see it."
        case 413:
            return "A file is too large for one request: lower the sink's largest_file_mb."
        case _:
            return ""


def is_sign_in(response: httpx2.Response) -> bool:
    """Whether the answer is the sign-in page, which comes as a success."""
    return response.status_code == _SIGN_IN_PAGE


class DevOpsRepository:
    """The calls that the sink makes, for one repository. All raise as `HttpService.ask` does."""

    def __init__(self, service: HttpService, project: str, repository: str) -> None:
        self._service = service
        self._path = f"/{quote(project)}/_apis/git/repositories/{quote(repository)}"

    async def default_branch(self) -> str | None:
        """None when the repository is empty."""
        branch: str | None = (await self._get("")).get("defaultBranch")
        return branch.removeprefix("refs/heads/") if branch else None

    async def head(self, branch: str) -> str | None:
        """The commit of a branch, or None when there is no such branch."""
        found = await self._get("/refs", filter=f"heads/{branch}")
        name = f"refs/heads/{branch}"
        return next((str(one["objectId"]) for one in found["value"] if one["name"] == name), None)

    async def files_in(self, commit: str, folder: str) -> dict[str, str]:
        """The blobs under a folder at a commit, by path from the repository's top; nothing when it is not there."""
        params = {
            "scopePath": f"/{folder}",
            "recursionLevel": "Full",
            "versionDescriptor.version": commit,
            "versionDescriptor.versionType": "commit",
            **VERSION,
        }
        response = await self._service.ask("GET", f"{self._path}/items", params=params, fine=(404,))
        if response.status_code == 404:
            return {}
        items = response.json()["value"]
        return {one["path"].lstrip("/"): one["objectId"] for one in items if one["gitObjectType"] == "blob"}

    async def push(self, branch: str, old: str, message: str, at: str, changes: list[dict[str, Any]]) -> str | None:
        """The new commit, upon `old`; None when the branch went elsewhere meanwhile."""
        signed = {"name": "Assay", "email": "assay@localhost", "date": at}
        commit = {"comment": message, "author": signed, "changes": changes}
        body = {"refUpdates": [{"name": f"refs/heads/{branch}", "oldObjectId": old}], "commits": [commit]}
        response = await self._service.ask("POST", f"{self._path}/pushes", body, VERSION, fine=(409,))
        return None if response.status_code == 409 else str(response.json()["commits"][0]["commitId"])

    async def pull_request(self, branch: str, base: str) -> dict[str, Any] | None:
        """The newest pull request from a branch, active or not."""
        asked = {
            "searchCriteria.sourceRefName": f"refs/heads/{branch}",
            "searchCriteria.targetRefName": f"refs/heads/{base}",
            "searchCriteria.status": "all",
        }
        found: list[dict[str, Any]] = (await self._get("/pullrequests", **asked))["value"]
        return max(found, key=lambda one: int(one["pullRequestId"]), default=None)

    async def open_pull_request(self, branch: str, base: str, title: str, text: str) -> dict[str, Any]:
        body = {
            "sourceRefName": f"refs/heads/{branch}",
            "targetRefName": f"refs/heads/{base}",
            "title": title,
            "description": text,
        }
        opened: dict[str, Any] = (await self._service.ask("POST", f"{self._path}/pullrequests", body, VERSION)).json()
        return opened

    async def change_pull_request(self, number: int, title: str, text: str) -> None:
        body = {"title": title, "description": text}
        await self._service.ask("PATCH", f"{self._path}/pullrequests/{number}", body, VERSION)

    async def label(self, number: int, label: str) -> None:
        """Adds a label; one that is there stays as it is."""
        path = f"{self._path}/pullRequests/{number}/labels"
        await self._service.ask("POST", path, {"name": label}, VERSION)

    async def _get(self, path: str, **params: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self._service.ask("GET", self._path + path, params={**params, **VERSION})).json()
        return found
