"""A stand-in for GitHub: Git data, pull requests and app tokens, over a real repository on disk.

Every request is validated against GitHub's own OpenAPI description before it is answered. An `httpx2` transport: no
port, no server.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
from openapi_core import OpenAPI
from openapi_core.datatypes import RequestParameters
from werkzeug.datastructures import Headers, ImmutableMultiDict

from stand_ins.git_host import GitHost, Route, path_of, refusal, reply

ROOT = Path(__file__).resolve().parent.parent.parent
ADDRESS = "https://api.github.com"
DESCRIPTION = ROOT / "tools/checks/node_modules/@octokit/openapi/generated/api.github.com.json"
REPO = "/repos/{owner}/{repo}"
PATHS = (
    REPO,
    f"{REPO}/git/ref/{{ref}}",
    f"{REPO}/git/refs",
    f"{REPO}/git/refs/{{ref}}",
    f"{REPO}/git/blobs",
    f"{REPO}/git/trees",
    f"{REPO}/git/trees/{{tree_sha}}",
    f"{REPO}/git/commits",
    f"{REPO}/git/commits/{{commit_sha}}",
    f"{REPO}/pulls",
    f"{REPO}/pulls/{{pull_number}}",
    f"{REPO}/issues/{{issue_number}}/labels",
    "/app/installations/{installation_id}/access_tokens",
)
TOKEN = "github-token-confidential"


@dataclass
class GitHub(GitHost):
    """One repository on GitHub."""

    repository: str = "acme/results"
    token: str = TOKEN

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        self.requests.append(request)
        validate(request)
        if ordered := self.fault(request):
            return ordered
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return refusal(401, "Bad credentials")
        try:
            return self._routed(request)
        except KeyError as error:
            return refusal(422, f"Object does not exist: {error}")

    def _routed(self, request: httpx2.Request) -> httpx2.Response:
        prefix = f"/repos/{self.repository}"
        path = path_of(request)
        if not path.startswith(prefix):
            return refusal(404, "Not Found")
        rest, body = path.removeprefix(prefix), json.loads(request.content or b"null")
        return self.answer(_ROUTES, request, rest, body) or refusal(404, "Not Found")

    def repository_facts(self, request: httpx2.Request, body: Any) -> httpx2.Response:
        return reply({"default_branch": "main", "full_name": self.repository})

    def get_ref(self, request: httpx2.Request, body: Any, branch: str) -> httpx2.Response:
        if not self.store.branches():
            return refusal(409, "Git Repository is empty.")
        sha = self.store.ref(branch)
        if sha is None:
            return refusal(404, "Not Found")
        return reply({"ref": f"refs/heads/{branch}", "object": {"type": "commit", "sha": sha}})

    def make_ref(self, request: httpx2.Request, body: Any) -> httpx2.Response:
        branch = body["ref"].removeprefix("refs/heads/")
        if self.store.ref(branch):
            return refusal(422, "Reference already exists")
        if not self.store.exists(body["sha"], "commit"):
            return refusal(422, "Object does not exist")
        self.store.set_ref(branch, body["sha"])
        return reply({"ref": body["ref"], "object": {"sha": body["sha"]}}, 201)

    def move_ref(self, request: httpx2.Request, body: Any, branch: str) -> httpx2.Response:
        head = self.store.ref(branch)
        if head is None:
            return refusal(422, "Reference does not exist")
        if not body.get("force") and not self.store.is_ancestor(head, body["sha"]):
            return refusal(422, "Update is not a fast forward")
        self.store.set_ref(branch, body["sha"])
        return reply({"ref": f"refs/heads/{branch}", "object": {"sha": body["sha"]}})

    def get_commit(self, request: httpx2.Request, body: Any, sha: str) -> httpx2.Response:
        if not self.store.exists(sha, "commit"):
            return refusal(404, "Not Found")
        return reply({"sha": sha, "tree": {"sha": self.store.tree_of(sha)}})

    def make_blob(self, request: httpx2.Request, body: Any) -> httpx2.Response:
        content = base64.b64decode(body["content"]) if body["encoding"] == "base64" else body["content"].encode()
        return reply({"sha": self.store.blob(content)}, 201)

    def make_tree(self, request: httpx2.Request, body: Any) -> httpx2.Response:
        entries: dict[str, str | None] = {}
        for entry in body["tree"]:
            if "content" in entry and "sha" in entry:
                return refusal(422, "Use either sha or content")
            sha = self.store.blob(entry["content"].encode()) if "content" in entry else entry["sha"]
            if sha and not self.store.exists(sha, "blob"):
                return refusal(422, f"tree.sha {sha} is not a valid blob")
            entries[entry["path"]] = sha
        return reply({"sha": self.store.tree(body.get("base_tree"), entries)}, 201)

    def get_tree(self, request: httpx2.Request, body: Any, sha: str) -> httpx2.Response:
        entries = self.store.entries(sha, recursive="recursive" in request.url.params)
        return reply({"sha": sha, "tree": entries, "truncated": False})

    def make_commit(self, request: httpx2.Request, body: Any) -> httpx2.Response:
        said = {}
        for role in ("author", "committer"):
            for key in ("name", "email", "date"):
                said[f"GIT_{role}_{key}".upper()] = body[role][key]
        sha = self.store.commit(body["message"], body["tree"], body["parents"], said)
        return reply({"sha": sha, "tree": {"sha": body["tree"]}}, 201)

    def list_pulls(self, request: httpx2.Request, body: Any) -> httpx2.Response:
        asked = request.url.params
        state = asked.get("state", "open")
        return reply(
            [
                one
                for one in self.pulls
                if one["head"]["label"] == asked.get("head")
                and one["base"]["ref"] == asked.get("base")
                and state in ("all", one["state"])
            ]
        )

    def open_pull(self, request: httpx2.Request, body: Any) -> httpx2.Response:
        label = f"{self.repository.partition('/')[0]}:{body['head']}"
        head, base = self.store.ref(body["head"]), self.store.ref(body["base"])
        if any(one["head"]["label"] == label and one["state"] == "open" for one in self.pulls):
            return refusal(422, f"A pull request already exists for {label}.")
        if head is None or base is None or head == base:
            return refusal(422, "No commits between the branches")
        number = len(self.pulls) + 1
        pull = {
            "number": number,
            "state": "open",
            "title": body["title"],
            "body": body["body"],
            "html_url": f"https://github.com/{self.repository}/pull/{number}",
            "head": {"label": label},
            "base": {"ref": body["base"]},
            "labels": [],
        }
        self.pulls.append(pull)
        return reply(pull, 201)

    def change_pull(self, request: httpx2.Request, body: Any, number: str) -> httpx2.Response:
        pull = self.pulls[int(number) - 1]
        pull.update({key: body[key] for key in ("title", "body", "state") if key in body})
        return reply(pull)

    def add_labels(self, request: httpx2.Request, body: Any, number: str) -> httpx2.Response:
        labels = self.pulls[int(number) - 1]["labels"]
        labels += [name for name in body["labels"] if name not in labels]
        return reply([{"name": name} for name in labels])


_ROUTES: list[Route] = [
    ("GET", "", GitHub.repository_facts),
    ("GET", "/git/ref/heads%2F([^/]+)", GitHub.get_ref),
    ("POST", "/git/refs", GitHub.make_ref),
    ("PATCH", "/git/refs/heads%2F([^/]+)", GitHub.move_ref),
    ("POST", "/git/blobs", GitHub.make_blob),
    ("POST", "/git/trees", GitHub.make_tree),
    ("GET", "/git/trees/([0-9a-f]+)", GitHub.get_tree),
    ("POST", "/git/commits", GitHub.make_commit),
    ("GET", "/git/commits/([0-9a-f]+)", GitHub.get_commit),
    ("GET", "/pulls", GitHub.list_pulls),
    ("POST", "/pulls", GitHub.open_pull),
    ("PATCH", r"/pulls/(\d+)", GitHub.change_pull),
    ("POST", r"/issues/(\d+)/labels", GitHub.add_labels),
]


def validate(request: httpx2.Request) -> None:
    """Raises when a request is not what GitHub's description allows, or lacks the headers that it asks for."""
    assert request.headers.get("x-github-api-version") == "2022-11-28"
    assert request.headers.get("user-agent") == "assay"
    _description().validate_request(_Described(request))


@cache
def _description() -> OpenAPI:
    """The part of GitHub's description that the sink uses, with everything that it refers to."""
    whole = json.loads(DESCRIPTION.read_bytes())
    wanted = {path: whole["paths"][path] for path in PATHS}
    kept: dict[str, dict[str, Any]] = {}
    pending = [wanted]
    while pending:
        for reference in re.findall(r'"\$ref": "#/components/(\w+)/([^"]+)"', json.dumps(pending.pop())):
            group, name = reference
            if name not in kept.setdefault(group, {}):
                kept[group][name] = whole["components"][group][name]
                pending.append(kept[group][name])
    # Answers are the stand-in's own affair; without them the description is small.
    for path in wanted.values():
        for operation in path.values():
            if isinstance(operation, dict) and "responses" in operation:
                operation["responses"] = {"default": {"description": "any"}}
    kept.pop("responses", None)
    info, servers = {"title": "GitHub", "version": "1"}, [{"url": ADDRESS}]
    return OpenAPI.from_dict(
        {"openapi": whole["openapi"], "info": info, "servers": servers, "paths": wanted, "components": kept}
    )


class _Described:
    """A request as openapi-core reads it."""

    def __init__(self, request: httpx2.Request) -> None:
        self._request = request
        self.host_url = ADDRESS
        self.path = path_of(request)
        self.method = request.method.lower()
        self.body = request.content or None
        self.content_type = request.headers.get("content-type", "")
        self.parameters = RequestParameters(
            query=ImmutableMultiDict(list(request.url.params.multi_items())),
            header=Headers(list(request.headers.items())),
        )
