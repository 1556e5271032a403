"""A stand-in for the Git API of Azure DevOps 7.1, over a real repository on disk.

Bodies are validated against the shapes that its reference documents. An `httpx2` transport: no port, no server.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import Any

import httpx2
from jsonschema import Draft202012Validator

from stand_ins.git_host import GitHost, Route, path_of, refusal, reply

TOKEN = "devops-token-confidential"
NOTHING = "0" * 40
SHA = {"type": "string", "pattern": "^[0-9a-f]{40}$"}
REF = {"type": "string", "pattern": "^refs/heads/.+"}
TEXT = {"type": "string"}


def _shape(required: str = "", **properties: Any) -> dict[str, Any]:
    """An object with these properties and no others."""
    return {"type": "object", "properties": properties, "required": required.split(), "additionalProperties": False}


_CONTENT = _shape("content contentType", content=TEXT, contentType={"enum": ["rawtext", "base64encoded"]})
_CHANGE = _shape(
    "changeType item",
    changeType={"enum": ["add", "edit", "delete"]},
    item=_shape("path", path={"type": "string", "pattern": "^/[^/]"}),
    newContent=_CONTENT,
)
_COMMIT = _shape(
    "comment changes",
    comment=TEXT,
    author=_shape("", name=TEXT, email=TEXT, date=TEXT),
    changes={"type": "array", "minItems": 1, "items": _CHANGE},
)
_TITLE, _DESCRIPTION = {"type": "string", "maxLength": 400}, {"type": "string", "maxLength": 4000}
SHAPES = {
    "POST /pushes": _shape(
        "refUpdates commits",
        refUpdates={"type": "array", "maxItems": 1, "items": _shape("name oldObjectId", name=REF, oldObjectId=SHA)},
        commits={"type": "array", "minItems": 1, "items": _COMMIT},
    ),
    "POST /pullrequests": _shape(
        "sourceRefName targetRefName title",
        sourceRefName=REF,
        targetRefName=REF,
        title=_TITLE,
        description=_DESCRIPTION,
    ),
    "PATCH /pullrequests/1": _shape("", title=_TITLE, description=_DESCRIPTION),
    "POST /pullRequests/1/labels": _shape("name", name=TEXT),
}


@dataclass
class AzureDevOps(GitHost):
    """One repository of Azure DevOps."""

    prefix: str = "/acme/Lab%20work/_apis/git/repositories/results"
    authorization: str = "Basic " + base64.b64encode(f":{TOKEN}".encode()).decode()
    largest_body: int = 25_000_000

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        self.requests.append(request)
        path = path_of(request)
        assert request.url.params.get("api-version") == "7.1"
        if ordered := self.fault(request):
            return ordered
        if request.headers.get("authorization") != self.authorization:
            return httpx2.Response(203, text="<html>Sign in</html>")
        if len(request.content) > self.largest_body:
            return refusal(413, "The request body is too large.")
        if not path.startswith(self.prefix):
            return refusal(404, "TF200016: The project does not exist.")
        rest, body = path.removeprefix(self.prefix), json.loads(request.content or b"null")
        if shape := SHAPES.get(re.sub(r"/\d+", "/1", f"{request.method} {rest}")):
            Draft202012Validator(shape).validate(body)
        answer = self.answer(_ROUTES, request, rest, body)
        assert answer, f"Azure DevOps documents no {request.method} {rest}"
        return answer

    def repository(self, request: httpx2.Request, body: Any) -> httpx2.Response:
        facts = {"id": "1", "name": "results"}
        return reply({**facts, "defaultBranch": "refs/heads/main"} if self.store.branches() else facts)

    def refs(self, request: httpx2.Request, body: Any) -> httpx2.Response:
        prefix = request.url.params["filter"].removeprefix("heads/")
        names = [name for name in self.store.branches() if name.startswith(prefix)]
        return reply({"value": [{"name": f"refs/heads/{name}", "objectId": self.store.ref(name)} for name in names]})

    def items(self, request: httpx2.Request, body: Any) -> httpx2.Response:
        asked = request.url.params
        assert (asked["recursionLevel"], asked["versionDescriptor.versionType"]) == ("Full", "commit")
        folder = asked["scopePath"].strip("/")
        entries = self.store.entries(asked["versionDescriptor.version"], recursive=True)
        found = [one for one in entries if f"{one['path']}/".startswith(f"{folder}/")]
        if not found:
            return refusal(404, "TF401174: The item could not be found.")
        items = [{"path": f"/{one['path']}", "objectId": one["sha"], "gitObjectType": one["type"]} for one in found]
        return reply({"value": items})

    def push(self, request: httpx2.Request, body: Any) -> httpx2.Response:
        update = body["refUpdates"][0]
        branch, old = update["name"].removeprefix("refs/heads/"), update["oldObjectId"]
        head = self.store.ref(branch)
        if head != old if head else not self.store.exists(old, "commit"):
            return refusal(409, "TF401028: The reference has already been updated by another client.")
        there = self.store.files(old)
        for commit in body["commits"]:
            entries: dict[str, str | None] = {}
            for change in commit["changes"]:
                path = change["item"]["path"].lstrip("/")
                if (change["changeType"] == "add") == (path in there):
                    return refusal(400, f"TF401027: {change['changeType']} of {path} does not fit what is there.")
                entries[path] = self._blob(change)
            stamp = commit["author"]
            said = {f"GIT_{role}_{key}".upper(): stamp[key] for role in ("author", "committer") for key in stamp}
            old = self.store.commit(commit["comment"], self.store.tree(old, entries), [old], said)
        self.store.set_ref(branch, old)
        return reply({"commits": [{"commitId": old}], "refUpdates": [{"newObjectId": old}]}, 201)

    def _blob(self, change: dict[str, Any]) -> str | None:
        if change["changeType"] == "delete":
            return None
        said = change["newContent"]
        plain = said["contentType"] == "rawtext"
        return self.store.blob(said["content"].encode() if plain else base64.b64decode(said["content"]))

    def list_pulls(self, request: httpx2.Request, body: Any) -> httpx2.Response:
        asked = request.url.params
        source, target = asked["searchCriteria.sourceRefName"], asked["searchCriteria.targetRefName"]
        assert asked["searchCriteria.status"] == "all"
        return reply({"value": [o for o in self.pulls if (o["sourceRefName"], o["targetRefName"]) == (source, target)]})

    def open_pull(self, request: httpx2.Request, body: Any) -> httpx2.Response:
        same = [one for one in self.pulls if one["sourceRefName"] == body["sourceRefName"]]
        if any(one["status"] == "active" for one in same):
            return refusal(409, "TF401179: An active pull request for the source and target branch already exists.")
        pull = {**body, "pullRequestId": len(self.pulls) + 1, "status": "active", "labels": []}
        self.pulls.append(pull)
        return reply(pull, 201)

    def change_pull(self, request: httpx2.Request, body: Any, number: str) -> httpx2.Response:
        self.pulls[int(number) - 1].update(body)
        return reply(self.pulls[int(number) - 1])

    def add_label(self, request: httpx2.Request, body: Any, number: str) -> httpx2.Response:
        labels = self.pulls[int(number) - 1]["labels"]
        if body["name"] not in labels:
            labels.append(body["name"])
        return reply({"name": body["name"], "active": True})


_ROUTES: list[Route] = [
    ("GET", "", AzureDevOps.repository),
    ("GET", "/refs", AzureDevOps.refs),
    ("GET", "/items", AzureDevOps.items),
    ("POST", "/pushes", AzureDevOps.push),
    ("GET", "/pullrequests", AzureDevOps.list_pulls),
    ("POST", "/pullrequests", AzureDevOps.open_pull),
    ("PATCH", r"/pullrequests/(\d+)", AzureDevOps.change_pull),
    ("POST", r"/pullRequests/(\d+)/labels", AzureDevOps.add_label),
]
