"""What the stand-ins of Git hosts share: a repository with pull requests, faults to order, routes to methods."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote

import httpx2

from stand_ins.git_store import GitStore

Fault = Callable[[httpx2.Request], httpx2.Response | None]
Route = tuple[str, str, Callable[..., httpx2.Response]]
"""Method, pattern of the path behind the repository's, and what answers: a method of the stand-in."""


@dataclass
class GitHost(httpx2.AsyncBaseTransport):
    """One repository. `faults` may answer a request before it is looked at; `requests` keeps all."""

    store: GitStore
    pulls: list[dict[str, Any]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    requests: list[httpx2.Request] = field(default_factory=list)

    @classmethod
    def at(cls, folder: Path) -> Self:
        """One whose repository has a first commit."""
        store = GitStore(folder)
        store.seed({"README.md": b"# Results\n"})
        return cls(store)

    def seen(self) -> object:
        """Everything that somebody who looks at the repository sees."""
        heads = {branch: self.store.ref(branch) for branch in self.store.branches()}
        return heads, json.dumps(self.pulls, sort_keys=True)

    def fault(self, request: httpx2.Request) -> httpx2.Response | None:
        """The first answer that was ordered for such a request."""
        return next((answer for fault in self.faults if (answer := fault(request)) is not None), None)

    def answer(self, routes: Iterable[Route], request: httpx2.Request, rest: str, body: Any) -> httpx2.Response | None:
        """What the first route that fits answers; None when none does."""
        for method, pattern, answer in routes:
            if request.method == method and (found := re.fullmatch(pattern, rest)):
                return answer(self, request, body, *map(unquote, found.groups()))
        return None


def path_of(request: httpx2.Request) -> str:
    """As it was sent, without the query."""
    return request.url.raw_path.decode().partition("?")[0]


def once(match: str, answer: httpx2.Response) -> Fault:
    """A fault for the first request that matches."""
    left = [answer]

    def fault(request: httpx2.Request) -> httpx2.Response | None:
        return left.pop() if left and match in f"{request.method} {request.url.path}" else None

    return fault


def reply(content: Any, status: int = 200) -> httpx2.Response:
    return httpx2.Response(status, json=content)


def refusal(status: int, message: str, headers: dict[str, str] | None = None) -> httpx2.Response:
    return httpx2.Response(status, json={"message": message}, headers=headers)
