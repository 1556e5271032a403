"""The HTTP side of the Durable extension: what the real DurableOrchestrationClient calls under `rpcBaseUrl`.

Paths, parameters, status codes and JSON names are those of the extension 2.x, as client 1.7 uses them.
"""

import json
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from aiohttp import web

from assay.local.durable import (
    InstanceMissing,
    InstanceOver,
    InstanceQuery,
    InstanceRunning,
    OrchestratorMissing,
    TaskHub,
)
from assay.local.durable_records import Event, EventType, Instance, from_wire, to_wire

_LARGEST_BODY_BYTES = 64 * 1024 * 1024
_PAYLOAD_FIELDS = ("Input", "Result")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class DurableRoutes:
    """A web application for one task hub; its paths begin with `prefix` (see `new_prefix`)."""

    def __init__(self, hub: TaskHub, prefix: str) -> None:
        self._hub = hub
        self._prefix = prefix
        self.application = web.Application(client_max_size=_LARGEST_BODY_BYTES, middlewares=[_answer_refusals])
        instance = self._prefix + "instances/{id}"
        self.application.add_routes(
            [
                web.post(self._prefix + "orchestrators/{name}", self._start),
                web.post(self._prefix + "orchestrators/{name}/{id}", self._start),
                web.get(self._prefix + "instances/", self._show_all),
                web.delete(self._prefix + "instances/", self._purge_matching),
                web.get(instance, self._show),
                web.delete(instance, self._purge),
                web.post(instance + "/raiseEvent/{event}", self._raise_event),
                web.post(instance + "/{order:terminate|suspend|resume}", self._order),
                # The client reads every answer as JSON, so even "not found" must be JSON.
                web.route("*", "/{path:.*}", self._refuse_unknown),
            ]
        )

    async def _start(self, request: web.Request) -> web.Response:
        body = await _json_body(request)
        instance_id = self._hub.start_instance(request.match_info["name"], request.match_info.get("id"), _as_text(body))
        return web.json_response({"id": instance_id}, status=202)

    async def _raise_event(self, request: web.Request) -> web.Response:
        payload = _as_text(await _json_body(request)) or "null"
        self._hub.raise_event(request.match_info["id"], request.match_info["event"], payload)
        return web.json_response(None, status=202)

    async def _order(self, request: web.Request) -> web.Response:
        instance_id = request.match_info["id"]
        match request.match_info["order"]:
            case "terminate":
                self._hub.terminate(instance_id, request.query.get("reason"))
            case "suspend":
                self._hub.suspend(instance_id)
            case _:
                self._hub.resume(instance_id)
        return web.json_response(None, status=202)

    async def _show(self, request: web.Request) -> web.Response:
        instance = self._hub.find(request.match_info["id"])
        shown = _status_of(instance)
        if _is_true(request, "showHistory"):
            keep_payloads = _is_true(request, "showHistoryOutput")
            shown["historyEvents"] = [_shown_event(each, keep_payloads) for each in self._hub.history(instance)]
        return web.json_response(shown, status=200 if instance.is_over else 202)

    async def _show_all(self, request: web.Request) -> web.Response:
        return web.json_response([_status_of(each) for each in self._hub.select(_query_of(request))])

    async def _purge(self, request: web.Request) -> web.Response:
        return _purged(self._hub.purge([self._hub.find(request.match_info["id"])]))

    async def _purge_matching(self, request: web.Request) -> web.Response:
        return _purged(self._hub.purge(self._hub.select(_query_of(request))))

    async def _refuse_unknown(self, request: web.Request) -> web.Response:
        text = f"The local host does not support {request.method} {request.path.removeprefix(self._prefix)}."
        return web.json_response(text, status=501)


def new_prefix() -> str:
    """A path that holds a random token, so that only who was given the URL gets in."""
    return f"/{secrets.token_urlsafe(16)}/durabletask/"


def client_binding(base_url: str) -> str:
    """The JSON text of a durableClient binding. `base_url` is where the routes are served, with their prefix."""
    instance = base_url + "instances/INSTANCEID"
    return json.dumps(
        {
            "taskHubName": "local",
            "creationUrls": {"createNewInstancePostUri": base_url + "orchestrators/{functionName}[/{instanceId}]"},
            "managementUrls": {
                "id": "INSTANCEID",
                "statusQueryGetUri": instance,
                "sendEventPostUri": instance + "/raiseEvent/{eventName}",
                "terminatePostUri": instance + "/terminate?reason={text}",
                "suspendPostUri": instance + "/suspend?reason={text}",
                "resumePostUri": instance + "/resume?reason={text}",
                "purgeHistoryDeleteUri": instance,
            },
            "rpcBaseUrl": base_url,
        }
    )


@web.middleware
async def _answer_refusals(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except InstanceMissing as error:
        return web.json_response(str(error), status=404)
    except InstanceOver as error:
        return web.json_response(str(error), status=410)
    except InstanceRunning as error:
        return web.json_response(str(error), status=409)
    except OrchestratorMissing as error:
        return web.json_response({"ExceptionMessage": str(error)}, status=400)
    except ValueError as error:
        return web.json_response(f"Bad request: {error}", status=400)


async def _json_body(request: web.Request) -> Any:
    return await request.json() if request.can_read_body else None


def _as_text(body: Any) -> str | None:
    """The client sends JSON text inside a JSON string; other callers send plain JSON."""
    return body if body is None or isinstance(body, str) else json.dumps(body)


def _purged(count: int) -> web.Response:
    return web.json_response({"instancesDeleted": count}, status=200 if count else 404)


def _is_true(request: web.Request, name: str) -> bool:
    return request.query.get(name, "").lower() == "true"


def _query_of(request: web.Request) -> InstanceQuery:
    statuses = request.query.get("runtimeStatus", "")
    return InstanceQuery(
        created_from=_moment(request, "createdTimeFrom"),
        created_to=_moment(request, "createdTimeTo"),
        statuses=frozenset(statuses.split(",")) if statuses else frozenset(),
        id_prefix=request.query.get("instanceIdPrefix", ""),
    )


def _moment(request: web.Request, name: str) -> datetime | None:
    text = request.query.get(name)
    return from_wire(text) if text else None


def _status_of(instance: Instance) -> dict[str, Any]:
    return {
        "name": instance.name,
        "instanceId": instance.instance_id,
        "runtimeStatus": instance.status,
        "input": instance.input,
        "customStatus": instance.custom_status,
        "output": instance.outcome.output if instance.outcome else None,
        "createdTime": to_wire(instance.created),
        "lastUpdatedTime": to_wire(instance.updated),
    }


def _shown_event(event: Event, keep_payloads: bool) -> dict[str, Any]:
    """An event as people read it: its type by name, and payloads only if asked for."""
    name = EventType(event["EventType"]).name.title().replace("_", "")
    kept = {key: value for key, value in event.items() if keep_payloads or key not in _PAYLOAD_FIELDS}
    return {**kept, "EventType": name}
