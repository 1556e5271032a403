"""Serves the app's HTTP functions under `routePrefix`, and `/admin/host/ping`. Called by the host."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from azure.functions.meta import Datum

from assay.local.functions import Function
from assay.local.host_keys import HostKeys
from assay.local.invocation import Invoker, converter, text

_LARGEST_BODY_BYTES = 100 * 1024 * 1024  # the Functions host's default limit
_DEFAULT_METHODS = ("GET", "POST")
_PARAMETER = re.compile(r"\{(?P<rest>\*{0,2})(?P<name>\w+)(?::(?P<constraint>[^}?]+))?(?P<optional>\?)?\}")
_CONSTRAINTS = {"int": r"-?\d+", "long": r"-?\d+", "alpha": r"[A-Za-z]+", "guid": r"[0-9a-fA-F-]{36}"}
_Handler = Callable[[web.Request], Awaitable[web.Response]]


def build_application(
    functions: list[Function], invoker: Invoker, keys: HostKeys, route_prefix: str
) -> web.Application:
    """The web application of the HTTP functions. More literal routes win over more general ones."""
    application = web.Application(client_max_size=_LARGEST_BODY_BYTES)
    application.router.add_get("/admin/host/ping", _ping)
    # aiohttp takes the first route that matches, ASP.NET the most specific one.
    for function in sorted(functions, key=lambda each: _generality(_route_of(each))):
        endpoint = _endpoint(function, invoker, keys)
        for method in function.trigger.options.get("methods") or _DEFAULT_METHODS:
            for path in to_paths(
                f"/{route_prefix}/{_route_of(function)}" if route_prefix else f"/{_route_of(function)}"
            ):
                application.router.add_route(method, path, endpoint)
    return application


def to_paths(route: str) -> list[str]:
    """Turn an ASP.NET route template into aiohttp paths: two if its last parameter is optional."""
    optional = next((found for found in _PARAMETER.finditer(route) if found["optional"]), None)
    path = _PARAMETER.sub(_parameter, route)
    if optional is None:
        return [path]
    without = _PARAMETER.sub(_parameter, route[: optional.start()]).rstrip("/")
    return [path, without]


def _parameter(found: re.Match[str]) -> str:
    if found["rest"]:
        return f"{{{found['name']}:.*}}"
    pattern = _CONSTRAINTS.get(found["constraint"] or "")
    return f"{{{found['name']}:{pattern}}}" if pattern else f"{{{found['name']}}}"


def _route_of(function: Function) -> str:
    route = function.trigger.options.get("route")
    return function.name if route is None else str(route).strip("/")


def _generality(route: str) -> tuple[bool, int, int]:
    return ("{*" in route, route.count("{"), -len(route))


async def _ping(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


def _endpoint(function: Function, invoker: Invoker, keys: HostKeys) -> _Handler:
    auth_level = str(function.trigger.options.get("authLevel") or "function").lower()

    async def answer(request: web.Request) -> web.Response:
        key = request.headers.get("x-functions-key") or request.query.get("code") or ""
        if not keys.allows(auth_level, key):
            return web.Response(status=401)
        datum = Datum(await _request_of(request), "http")
        try:
            return _response_of(await invoker.invoke(function, datum))
        except Exception:  # reported by the invoker; its text is not for the caller
            return web.Response(status=500)

    return answer


async def _request_of(request: web.Request) -> dict[str, Any]:
    """The request in the shape that azure.functions' converter takes."""
    return {
        "method": text(request.method),
        "url": text(str(request.url)),
        "headers": {name.lower(): text(value) for name, value in request.headers.items()},
        "params": {name: text(value) for name, value in request.match_info.items()},
        "query": {name: text(value) for name, value in request.query.items()},
        "body": Datum(await request.read(), "bytes"),
    }


def _response_of(result: Any) -> web.Response:
    """What the function returned: nothing, text, or a `func.HttpResponse`."""
    if result is None:
        return web.Response(status=204)
    encoded = converter("http").encode(result, expected_type=None)
    if encoded.type == "string":
        return web.Response(text=encoded.value)
    value = encoded.value
    # aiohttp sets the length itself, and would refuse to be told it.
    headers = {name: each.value for name, each in value["headers"].items() if name.lower() != "content-length"}
    response = web.Response(status=int(value["status_code"].value), body=value["body"].value, headers=headers)
    for morsels in value["cookies"] or ():
        for morsel in morsels.values():
            response.headers.add("Set-Cookie", morsel.OutputString())
    return response
