"""Makes functions of a decorated app ready to be called, without a host and without storage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import azure.functions as func

from assay.local.connections import Connections
from assay.local.durable_routes import client_binding
from assay.local.functions import Function, read_functions
from assay.local.invocation import Invoker
from assay.telemetry import RecordingTelemetry


def invoker(telemetry: RecordingTelemetry | None = None, timeout_seconds: float | None = None) -> Invoker:
    binding, given = client_binding("http://127.0.0.1/"), telemetry or RecordingTelemetry()
    return Invoker(Path("/app"), Connections({}), "base64", timeout_seconds, binding, given)


def functions_of(app: func.FunctionApp, **settings: str) -> dict[str, Function]:
    return {each.name: each for each in read_functions(app, settings)}


def only_function(app: func.FunctionApp, **settings: Any) -> Function:
    (function,) = functions_of(app, **settings).values()
    return function
