"""HTTP functions: routes, keys, requests and answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest
from aiohttp.test_utils import TestClient, TestServer
from function_bench import functions_of, invoker

from assay.local.host_keys import HostKeys, load_host_keys
from assay.local.http_routes import build_application, to_paths

KEYS = HostKeys(function="fkey", master="mkey")
Client = TestClient[Any, Any]


def serving(app: func.FunctionApp, prefix: str = "api") -> AbstractAsyncContextManager[Client]:
    @asynccontextmanager
    async def client() -> AsyncIterator[Client]:
        application = build_application(list(functions_of(app).values()), invoker(), KEYS, prefix)
        async with TestClient(TestServer(application)) as opened:
            yield opened

    return client()


def app_with(route: str, answer: Callable[[func.HttpRequest], Any], **trigger: Any) -> func.FunctionApp:
    app = func.FunctionApp()

    @app.route(route=route, **{"auth_level": func.AuthLevel.ANONYMOUS, **trigger})
    async def endpoint(req: func.HttpRequest) -> func.HttpResponse:
        result: func.HttpResponse = answer(req)
        return result

    return app


async def test_a_request_reaches_the_function_whole() -> None:
    """Method, route, query, headers and body."""

    def answer(req: func.HttpRequest) -> str:
        seen = [req.method, req.route_params["run"], req.params["x"], req.headers["x-who"], req.get_json()]
        return json.dumps(seen)

    async with serving(app_with("runs/{run}", answer)) as client:
        response = await client.post("/api/runs/a%20b?x=1", json={"n": "ü"}, headers={"X-Who": "me"})
        assert await response.json(content_type=None) == ["POST", "a b", "1", "me", {"n": "ü"}]


async def test_an_answer_gets_out_whole() -> None:
    """Status, headers, cookies and bytes."""

    def answer(req: func.HttpRequest) -> func.HttpResponse:
        headers = {"x-one": "1", "Set-Cookie": "a=b; HttpOnly; Path=/"}
        return func.HttpResponse(b"\x00\xff", status_code=206, headers=headers, mimetype="application/zip")

    async with serving(app_with("file", answer)) as client:
        response = await client.get("/api/file")
        assert (response.status, await response.read(), response.headers["x-one"]) == (206, b"\x00\xff", "1")
        assert response.headers["Content-Type"] == "application/zip"
        assert response.cookies["a"].value == "b"


@pytest.mark.parametrize(("result", "status", "body"), [("plain", 200, "plain"), (None, 204, "")])
async def test_text_and_nothing_are_answers_too(result: str | None, status: int, body: str) -> None:
    """As in the Functions host."""
    async with serving(app_with("x", lambda req: result)) as client:
        response = await client.get("/api/x")
        assert (response.status, await response.text()) == (status, body)


async def test_a_failure_is_500_without_its_reason() -> None:
    """The caller may be anybody; the reason is in the log."""

    def answer(req: func.HttpRequest) -> str:
        raise RuntimeError("secret")

    async with serving(app_with("x", answer)) as client:
        response = await client.get("/api/x")
        assert (response.status, await response.text()) == (500, "")


@pytest.mark.parametrize(
    ("level", "key", "status"),
    [
        (func.AuthLevel.ANONYMOUS, "", 200),
        (func.AuthLevel.FUNCTION, "", 401),
        (func.AuthLevel.FUNCTION, "fkez", 401),
        (func.AuthLevel.FUNCTION, "fkey", 200),
        (func.AuthLevel.FUNCTION, "mkey", 200),
        (func.AuthLevel.ADMIN, "fkey", 401),
        (func.AuthLevel.ADMIN, "mkey", 200),
    ],
)
async def test_a_level_says_which_keys_open(level: func.AuthLevel, key: str, status: int) -> None:
    """By header or by query; the master key opens everything."""
    async with serving(app_with("x", lambda req: "in", auth_level=level)) as client:
        by_header = await client.get("/api/x", headers={"x-functions-key": key})
        by_query = await client.get("/api/x", params={"code": key})
        assert (by_header.status, by_query.status) == (status, status)


async def test_a_method_that_is_not_listed_is_refused() -> None:
    """405."""
    async with serving(app_with("x", lambda req: "in", methods=["GET"])) as client:
        assert (await client.post("/api/x")).status == 405


async def test_a_literal_route_wins_over_a_parameter() -> None:
    """Whatever the order of the functions in the app."""
    app = app_with("runs/{run}", lambda req: "any")

    @app.route(route="runs/latest", auth_level=func.AuthLevel.ANONYMOUS)
    async def latest(req: func.HttpRequest) -> str:
        return "latest"

    async with serving(app) as client:
        assert await (await client.get("/api/runs/latest")).text() == "latest"
        assert await (await client.get("/api/runs/7")).text() == "any"


async def test_the_route_prefix_may_be_empty() -> None:
    """And the host answers pings beside the functions."""
    async with serving(app_with("x", lambda req: "in"), prefix="") as client:
        assert (await client.get("/x")).status == 200
        assert (await client.get("/admin/host/ping")).status == 200


@pytest.mark.parametrize(
    ("route", "paths"),
    [
        ("/api/runs/{run}", ["/api/runs/{run}"]),
        ("/api/{*rest}", ["/api/{rest:.*}"]),
        ("/api/rows/{number:int}", [r"/api/rows/{number:-?\d+}"]),
        ("/api/rows/{number:int?}", [r"/api/rows/{number:-?\d+}", "/api/rows"]),
        ("/api/{name:regex(x)}", ["/api/{name}"]),
    ],
)
def test_route_templates_are_those_of_aspnet(route: str, paths: list[str]) -> None:
    """Parameters, catch-alls, constraints, and an optional end."""
    assert to_paths(route) == paths


def test_keys_are_made_once_and_only_their_owner_can_read_them(tmp_path: Path) -> None:
    """They stay the same from start to start."""
    first = load_host_keys(tmp_path / "keys.json")
    second = load_host_keys(tmp_path / "keys.json")

    assert first == second
    assert first.function != first.master
    assert min(len(first.function), len(first.master)) > 30
    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600
