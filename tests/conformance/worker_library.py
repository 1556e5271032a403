"""Drives `azure-functions-runtime`, the worker library of Azure's Python 3.13 image, without gRPC and protobuf.

Its state is global, so there is one app per process: run as a script, it loads an app, invokes every function with
plausible trigger data, and prints what happened as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import types
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import azure_functions_runtime as worker
from azure_functions_runtime import native_invocation
from azure_functions_runtime.bindings.datumdef import Datum

from assay.local.durable_protocol import episode_events, request_body
from assay.local.durable_records import Instance, Started
from assay.local.durable_routes import client_binding

OWN_CODE = "own code reached"


class Message:
    """Stands for any protobuf message: it keeps the fields it is given."""

    def __init__(self, *_: Any, **fields: Any) -> None:
        self.__dict__.update(fields)


class Protos:
    """Stands for the generated protobuf module: any name is a message type."""

    def __getattr__(self, name: str) -> type:
        made = type(name, (Message,), {})
        setattr(self, name, made)
        return made


def make_protos() -> Protos:
    """The module with the two enumerations whose values the worker compares."""
    protos = Protos()
    protos.BindingInfo = type("BindingInfo", (Message,), {"in": 0, "out": 1, "inout": 2, "undefined": 7})
    protos.StatusResult = type("StatusResult", (Message,), {"Failure": 0, "Success": 1})
    return protos


@dataclass(frozen=True)
class WorkerFunction:
    """A function as the worker has indexed it."""

    name: str
    function_id: str
    bindings: list[dict[str, Any]]

    @property
    def trigger(self) -> dict[str, Any]:
        return next(each for each in self.bindings if each["type"].endswith("Trigger"))


@dataclass(frozen=True)
class Outcome:
    """What an invocation brought."""

    is_success: bool
    returned: Any
    outputs: dict[str, Any]
    error: str | None


class LoadFailed(Exception):
    """The worker refused the app, with its own message."""


async def load(app_dir: str) -> dict[str, WorkerFunction]:
    """Load and index the app as the worker does at its start. Raises LoadFailed."""
    protos = make_protos()
    worker.start_threadpool_executor()
    sys.path.insert(0, app_dir)
    request = types.SimpleNamespace(
        request=types.SimpleNamespace(
            worker_init_request=types.SimpleNamespace(capabilities={}, function_app_directory=app_dir)
        ),
        properties={"protos": protos, "host": "127.0.0.1"},
    )
    answer = await worker.worker_init_request(request)
    if answer.result.status != protos.StatusResult.Success:
        raise LoadFailed(answer.result.exception.message)
    indexed = await worker.functions_metadata_request(request)
    return {
        each.name: WorkerFunction(each.name, each.function_id, [json.loads(raw) for raw in each.raw_bindings])
        for each in indexed.function_metadata_results
    }


async def invoke(function: WorkerFunction, inputs: dict[str, Datum], metadata: dict[str, Datum]) -> Outcome:
    """Invoke one function through the worker's own converters."""
    ok, returned, outputs, error, _ = await native_invocation.invocation_request_native(
        uuid4().hex, function.function_id, list(inputs.items()), metadata
    )
    return Outcome(ok, returned and returned.value, {name: each.value for name, each in outputs}, error)


def text(value: str) -> Datum:
    return Datum(value, "string")


def as_json(value: Any) -> Datum:
    return Datum(json.dumps(value), "json")


def http_request() -> Datum:
    fields = {"method": text("POST"), "url": text("http://127.0.0.1/api/x"), "headers": {}, "query": {}}
    route = {name: text("r1") for name in ("run", "id", "path")}
    return Datum({**fields, "params": route, "body": Datum(b'{"n": 1}', "bytes")}, "http")


def orchestration() -> Datum:
    """The first episode of an instance, made by the local host's own side of the protocol."""
    job = json.dumps({"run": "r1", "numbers": [1, 2]})
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    instance = Instance(Started(instance_id="r1", name="o", input=job, created=moment))
    return Datum(request_body(instance, episode_events(instance, [], moment)), "json")


def trigger_input(kind: str) -> Datum:
    """Plausible data for a trigger."""
    match kind:
        case "blobTrigger":
            return Datum(b"1\n2\n", "bytes")
        case "queueTrigger":
            return text('{"run": "r1", "number": 1, "of": 2}')
        case "timerTrigger":
            return as_json({"IsPastDue": False, "Schedule": {}, "ScheduleStatus": {}})
        case "httpTrigger":
            return http_request()
        case "orchestrationTrigger":
            return orchestration()
        case _:
            return as_json({"run": "r1", "numbers": [1, 2]})


METADATA = {
    "Id": text("m1"),
    "DequeueCount": as_json(2),
    "PopReceipt": text("receipt"),
    "BlobTrigger": text("inbox/suite/file.csv"),
    "Uri": text("http://127.0.0.1/inbox/suite/file.csv"),
    "Properties": as_json({"ContentLength": 4}),
    "Metadata": as_json({}),
}


async def invoke_every_function(app_dir: str) -> dict[str, dict[str, Any]]:
    """Load the app and invoke each function once; says what each was bound to and what came out."""
    report: dict[str, dict[str, Any]] = {}
    for name, function in (await load(app_dir)).items():
        inputs = {function.trigger["name"]: trigger_input(function.trigger["type"])}
        for binding in function.bindings:
            if binding["type"] == "durableClient":
                inputs[binding["name"]] = text(client_binding("http://127.0.0.1:1/"))
        report[name] = {"bindings": function.bindings, **asdict(await invoke(function, inputs, METADATA))}
    return report


def stop_at_own_code() -> None:
    """Let the functions of Assay's app end at their first step, which is to ask for the runtime."""
    import assay.runtime

    def refuse() -> None:
        raise RuntimeError(OWN_CODE)

    assay.runtime.runtime = refuse  # type: ignore[assignment]


def main() -> None:
    stop_at_own_code()
    try:
        print(json.dumps(asyncio.run(invoke_every_function(sys.argv[1])), default=str))
    except LoadFailed as error:
        sys.exit(f"load failed: {error}")


if __name__ == "__main__":
    main()
