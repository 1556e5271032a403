"""Calls one function of the app: builds its arguments with azure.functions' own converters and sends its outputs.

Called by every listener. Async functions run on the event loop, others in threads, as in the Functions worker.
"""

import asyncio
import contextvars
import inspect
import json
import os
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import azure.functions as func
from azure.functions.meta import Datum

from assay.errors import AssayError
from assay.local.connections import Connections
from assay.local.functions import Binding, Function, connection_name
from assay.local.queue_text import Encoding, encode_body
from assay.telemetry import Telemetry

_RETURN = "$return"


class FunctionTimeout(AssayError):
    """The function ran longer than `functionTimeout`."""


class UnexpectedReturn(AssayError):
    """The function returned a value that goes nowhere; the Functions worker fails such a call too."""


@dataclass(frozen=True)
class Invocation:
    """The `context` argument of a function: which call this is. The local host has no tracing and no host retries."""

    function_name: str
    function_directory: str
    invocation_id: str = field(default_factory=lambda: str(uuid4()))
    thread_local_storage: Any = field(default_factory=threading.local)
    trace_context: Any = None
    retry_context: Any = None


class OutputValue(func.Out):  # type: ignore[misc]
    """The argument for an output binding."""

    def __init__(self) -> None:
        self._value: Any = None

    def set(self, val: Any) -> None:
        self._value = val

    def get(self) -> Any:
        return self._value


def text(value: str) -> Datum:
    """Trigger data or metadata that is text."""
    return Datum(value, "string")


def as_json(value: Any) -> Datum:
    """Trigger data or metadata that is JSON."""
    return Datum(json.dumps(value), "json")


class Invoker:
    """Calls functions, at most `timeout_seconds` each (None: no limit), and reports how each call ended.

    `client_binding` is the text that durableClient bindings get. The real host ends its worker process on a timeout;
    this one cancels the call and fails it, and a thread that does not end is left running.
    """

    def __init__(
        self,
        app_dir: Path,
        connections: Connections,
        encoding: Encoding,
        timeout_seconds: float | None,
        client_binding: str,
        telemetry: Telemetry,
    ) -> None:
        self._app_dir = app_dir
        self._connections = connections
        self._encoding = encoding
        self._timeout_seconds = timeout_seconds
        self._client_binding = client_binding
        self._telemetry = telemetry
        self._threads = ThreadPoolExecutor(_thread_count(), thread_name_prefix="function")
        self._in_threads: set[Future[Any]] = set()

    async def invoke(self, function: Function, data: Datum, metadata: Mapping[str, Datum] | None = None) -> Any:
        """Call the function on trigger data and return what it returned, after its queue outputs were sent.

        Reports how the call ended. Raises what the function raised, or FunctionTimeout.
        """
        invocation = Invocation(function.name, str(self._app_dir))
        started = time.monotonic()
        try:
            result = await self._call_and_send(function, data, metadata or {}, invocation)
        except Exception as error:
            problem = {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
            self._telemetry.problem("function_failed", **_end_of(invocation, started), **problem)
            raise
        self._telemetry.event("function_succeeded", **_end_of(invocation, started))
        return result

    async def invoke_unreported(self, function: Function, data: Datum) -> Any:
        """Like `invoke`, without a report: for orchestrators, which are called again and again to replay."""
        return await self._call_and_send(function, data, {}, Invocation(function.name, str(self._app_dir)))

    def close(self) -> bool:
        """Take no more calls. Says whether all threads are idle; a busy one would keep the process from ending."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        return not any(future.running() for future in self._in_threads)

    async def _call_and_send(
        self, function: Function, data: Datum, metadata: Mapping[str, Datum], invocation: Invocation
    ) -> Any:
        outputs = {binding.name: OutputValue() for binding in function.bound_as("queue") if binding.name != _RETURN}
        arguments = {**self._arguments(function, data, metadata, invocation), **outputs}
        result = await self._call(function, arguments)
        if result is not None and not _may_return(function):
            raise UnexpectedReturn(f"Function '{function.name}' has no $return binding and returned {result!r:.80}.")
        for binding in function.bound_as("queue"):
            value = result if binding.name == _RETURN else outputs[binding.name].get()
            await self._send(binding, value)
        return result

    def _arguments(
        self, function: Function, data: Datum, metadata: Mapping[str, Datum], invocation: Invocation
    ) -> dict[str, Any]:
        trigger = converter(function.trigger.kind)
        arguments = {function.trigger.name: trigger.decode(data, trigger_metadata=metadata)}
        # The decorator of the Durable library makes the client out of this text.
        for binding in function.bound_as("durableClient"):
            arguments[binding.name] = self._client_binding
        if "context" in inspect.signature(function.call).parameters and "context" not in arguments:
            arguments["context"] = invocation
        return arguments

    async def _call(self, function: Function, arguments: dict[str, Any]) -> Any:
        try:
            async with asyncio.timeout(self._timeout_seconds) as limit:
                if inspect.iscoroutinefunction(function.call):
                    return await function.call(**arguments)
                return await self._call_in_thread(partial(function.call, **arguments))
        except TimeoutError:
            if not limit.expired():
                raise
            raise FunctionTimeout(
                f"Function '{function.name}' ran longer than functionTimeout ({self._timeout_seconds:g} s). "
                "Make its unit of work smaller, or raise functionTimeout in host.json."
            ) from None

    async def _call_in_thread(self, call: Callable[[], Any]) -> Any:
        # Not asyncio.to_thread: which threads are still busy must be known when the process is to end.
        future = self._threads.submit(contextvars.copy_context().run, call)
        self._in_threads.add(future)
        future.add_done_callback(self._in_threads.discard)
        return await asyncio.wrap_future(future)

    async def _send(self, binding: Binding, value: Any) -> None:
        """Send an output to its queue: one message, or one for each item of a list."""
        if value is None:
            return
        encoded = converter("queue").encode(value, expected_type=None)
        bodies = json.loads(encoded.value) if encoded.type == "json" else encoded.value
        queue = self._connections.queue(connection_name(binding), binding.options["queueName"])
        for body in bodies if isinstance(bodies, list) else [bodies]:
            await queue.send_message(encode_body(_body_of(body), self._encoding))


def converter(kind: str) -> Any:
    """The converter that azure.functions has registered for a kind of trigger or binding."""
    return func.get_binding_registry().get(kind)


def _may_return(function: Function) -> bool:
    is_implied = function.trigger.kind in ("orchestrationTrigger", "activityTrigger")
    return is_implied or any(binding.name == _RETURN for binding in function.bindings)


def _body_of(body: Any) -> str | bytes:
    """A `func.QueueMessage` was encoded as an object with an id and a body."""
    plain: str | bytes = body["body"] if isinstance(body, dict) else body
    return plain


def _end_of(invocation: Invocation, started: float) -> dict[str, Any]:
    return {
        "function": invocation.function_name,
        "invocation": invocation.invocation_id,
        "duration_ms": round((time.monotonic() - started) * 1000),
    }


def _thread_count() -> int:
    configured = os.environ.get("PYTHON_THREADPOOL_THREAD_COUNT")
    return int(configured) if configured else min(32, (os.cpu_count() or 1) + 4)
