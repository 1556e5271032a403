"""The local Functions host: `python -m assay.local.host --app DIR --data DIR` stands in for `func start`.

It reads triggers and bindings from the decorated app, polls Azurite for them, and drives the real Durable engine.
"""

import argparse
import asyncio
import fcntl
import json
import logging
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from assay.errors import AssayError, UserError
from assay.local.blob_listener import BlobListener
from assay.local.clock import SystemClock
from assay.local.durable import TaskHub
from assay.local.durable_routes import DurableRoutes, client_binding, new_prefix
from assay.local.durable_store import HistoryStore
from assay.local.files import write_whole
from assay.local.host_keys import load_host_keys
from assay.local.http_routes import build_application
from assay.local.listeners import Listener, Listeners
from assay.local.loaded_app import AppDurableFunctions, LoadedApp, load_app
from assay.local.process_end import end_process, stop_on_signals
from assay.local.queue_worker import CLIENT_BINDING_SETTING
from assay.local.timers import TimerListener
from assay.local.worker_processes import WorkerProcesses
from assay.middleware.redaction import default_redact
from assay.telemetry import LogTelemetry, Telemetry, log_as_json, redact_logs

LOOPBACK = "127.0.0.1"
_SHUTDOWN_MARGIN_SECONDS = 2.0


@dataclass(frozen=True)
class HostOptions:
    """How to run the host; the meaning of each is in the command's help."""

    app_dir: Path
    data_dir: Path
    port: int = 0
    workers: int = 0
    message_lease_seconds: int = 30
    blob_poll_seconds: float = 0.5
    drain_seconds: float = 20.0
    ready_file: Path | None = None


class Host:
    """Everything of one host. Use as `async with Host(...) as host`: entering starts it, leaving drains and stops it.

    This process runs blob, timer and HTTP triggers and the orchestrations. Queue triggers run here too, or, with
    workers, in that many child processes. What must survive a kill is on disk: orchestrations under `data_dir`,
    messages in their queues, blobs without a receipt.
    """

    def __init__(self, options: HostOptions, environment: Mapping[str, str], telemetry: Telemetry) -> None:
        self._options = options
        self._environment = environment
        self._telemetry = telemetry
        self._stack = AsyncExitStack()
        self.url = ""

    async def __aenter__(self) -> "Host":
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._telemetry.event("host_stopping", drain_seconds=self._options.drain_seconds)
        await self._stack.aclose()

    async def _start(self, stack: AsyncExitStack) -> None:
        options = self._options
        stack.enter_context(_only_host_of(options.data_dir))
        rpc_socket, prefix = _listen(0), new_prefix()
        binding = client_binding(f"http://{LOOPBACK}:{_port_of(rpc_socket)}{prefix}")
        app = load_app(options.app_dir, self._environment, binding, self._telemetry)
        stack.push_async_callback(app.close)
        hub = self._task_hub(app)
        rpc = web.AppRunner(DurableRoutes(hub, prefix).application, access_log=None, shutdown_timeout=1.0)
        stack.push_async_callback(rpc.cleanup)
        await _serve(rpc, rpc_socket)
        http = web.AppRunner(self._http_application(app), access_log=None, shutdown_timeout=options.drain_seconds)
        listeners = Listeners(self._listeners(app), self._telemetry)
        workers = self._workers(binding)
        # Left first: whatever may call the hub is drained while the hub still answers.
        stack.push_async_callback(self._drain, hub, http, listeners, workers)
        hub.start()
        http_socket = _listen(options.port)
        self.url = f"http://{LOOPBACK}:{_port_of(http_socket)}"
        await _serve(http, http_socket)
        listeners.start()
        workers.start()

    async def _drain(self, hub: TaskHub, http: web.AppRunner, listeners: Listeners, workers: WorkerProcesses) -> None:
        seconds = self._options.drain_seconds
        await asyncio.gather(
            listeners.stop(seconds),
            hub.stop(seconds),
            http.cleanup(),
            workers.stop(seconds + _SHUTDOWN_MARGIN_SECONDS),
        )

    def _task_hub(self, app: LoadedApp) -> TaskHub:
        store = HistoryStore(self._options.data_dir / "durable", self._telemetry)
        return TaskHub(store, AppDurableFunctions(app), app.settings.extensions.durable_task, self._telemetry)

    def _listeners(self, app: LoadedApp) -> list[Listener]:
        options, extensions = self._options, app.settings.extensions
        encoding = extensions.queues.message_encoding
        listeners: list[Listener] = [
            BlobListener(
                each, app.connections, app.invoker, extensions.blobs, encoding, options.blob_poll_seconds, app.telemetry
            )
            for each in app.triggered_by("blobTrigger")
        ]
        timers = options.data_dir / "timers"
        listeners += [
            TimerListener(each, app.invoker, timers, SystemClock()) for each in app.triggered_by("timerTrigger")
        ]
        return listeners if options.workers else listeners + app.queue_listeners(options.message_lease_seconds)

    def _workers(self, binding: str) -> WorkerProcesses:
        options = self._options
        command = [sys.executable, "-m", "assay.local.queue_worker", "--app", str(options.app_dir)]
        command += ["--message-lease-seconds", str(options.message_lease_seconds)]
        command += ["--drain-seconds", str(options.drain_seconds)]
        # By environment, not by argument: everybody on this machine can read a command line.
        environment = {**self._environment, CLIENT_BINDING_SETTING: binding}
        return WorkerProcesses(options.workers, command, environment, self._telemetry)

    def _http_application(self, app: LoadedApp) -> web.Application:
        keys = load_host_keys(self._options.data_dir / "keys.json")
        prefix = app.settings.extensions.http.route_prefix
        return build_application(app.triggered_by("httpTrigger"), app.invoker, keys, prefix)


async def _serve(runner: web.AppRunner, listening: socket.socket) -> None:
    await runner.setup()
    await web.SockSite(runner, listening).start()


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((LOOPBACK, port), backlog=128)
    except OSError as error:
        raise UserError(
            f"Port {port} on {LOOPBACK} cannot be used: {error.strerror}. Choose another with --port."
        ) from error


def _port_of(listening: socket.socket) -> int:
    port: int = listening.getsockname()[1]
    return port


@contextmanager
def _only_host_of(data_dir: Path) -> Iterator[None]:
    """Two hosts on one folder would write the same histories. The lock ends with the process, however it ends."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "host.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"Another host is running on {data_dir}. Stop it, or choose another --data.") from error
        yield


async def serve(options: HostOptions, environment: Mapping[str, str]) -> None:
    """Run a host until SIGTERM or SIGINT. Once it is up, `ready_file` holds its address as JSON."""
    telemetry = LogTelemetry(redact=default_redact())
    stopping = stop_on_signals()
    if options.ready_file:
        options.ready_file.unlink(missing_ok=True)
    async with Host(options, environment, telemetry) as host:
        telemetry.event("host_ready", url=host.url, workers=options.workers)
        if options.ready_file:
            write_whole(options.ready_file, json.dumps({"url": host.url, "pid": os.getpid()}))
        await stopping.wait()
    telemetry.event("host_stopped")


def parse_options(arguments: list[str]) -> HostOptions:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m assay.local.host", description="Run a function app locally.")
    parser.add_argument("--app", type=Path, default=Path("function_app"), help="folder of the function app")
    parser.add_argument("--data", type=Path, required=True, help="folder for histories, timers and keys")
    parser.add_argument("--port", type=int, default=0, help="port of the HTTP functions; 0 picks a free one")
    parser.add_argument("--workers", type=int, default=0, help="processes for queue triggers; 0: in this process")
    parser.add_argument("--message-lease-seconds", type=int, default=30, help="queue lease, renewed at half time")
    parser.add_argument("--blob-poll-seconds", type=float, default=0.5, help="pause between two looks at a container")
    parser.add_argument("--drain-seconds", type=float, default=20.0, help="time for running functions at a stop")
    parser.add_argument("--ready-file", type=Path, help="file to write the address to once everything is up")
    given = parser.parse_args(arguments)
    return HostOptions(
        app_dir=given.app.resolve(),
        data_dir=given.data.resolve(),
        port=given.port,
        workers=given.workers,
        message_lease_seconds=given.message_lease_seconds,
        blob_poll_seconds=given.blob_poll_seconds,
        drain_seconds=given.drain_seconds,
        ready_file=given.ready_file,
    )


def main() -> None:
    """The command. Ends with 0 after a drained stop, or with the exit code of the error."""
    options = parse_options(sys.argv[1:])
    log_as_json()
    redact_logs(default_redact())
    logging.captureWarnings(True)
    try:
        asyncio.run(serve(options, os.environ))
    except AssayError as error:
        end_process(error)
    end_process()


if __name__ == "__main__":
    main()
