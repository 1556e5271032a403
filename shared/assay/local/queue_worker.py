"""One worker process of the local host: runs the app's queue triggers. Started by worker_processes.py only.

It leaves, drained, when its standard input closes: that is how the host stops it, and what happens if the host dies.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from assay.errors import AssayError
from assay.local.listeners import Listeners
from assay.local.loaded_app import load_app
from assay.local.process_end import end_process, stop_on_signals
from assay.middleware.redaction import default_redact
from assay.telemetry import LogTelemetry, bound, log_as_json, redact_logs

CLIENT_BINDING_SETTING = "ASSAY_DURABLE_CLIENT"


async def run_worker(app_dir: Path, lease_seconds: int, drain_seconds: float, environment: Mapping[str, str]) -> None:
    """Run the queue triggers until the host says stop, by closing standard input."""
    telemetry = LogTelemetry(redact=default_redact())
    app = load_app(app_dir, environment, environment.get(CLIENT_BINDING_SETTING, ""), telemetry)
    stopping = stop_on_signals()
    listeners = Listeners(app.queue_listeners(lease_seconds), telemetry)
    listeners.start()
    telemetry.event("worker_ready", pid=os.getpid())
    closed = asyncio.create_task(_standard_input_closed())
    await asyncio.wait([closed, asyncio.create_task(stopping.wait())], return_when=asyncio.FIRST_COMPLETED)
    await listeners.stop(drain_seconds)
    await app.close()


async def _standard_input_closed() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--app", type=Path, required=True)
    parser.add_argument("--message-lease-seconds", type=int, required=True)
    parser.add_argument("--drain-seconds", type=float, required=True)
    given = parser.parse_args()
    log_as_json()
    redact_logs(default_redact())
    try:
        with bound(worker=os.getpid()):
            asyncio.run(run_worker(given.app, given.message_lease_seconds, given.drain_seconds, os.environ))
    except AssayError as error:
        end_process(error)
    end_process()


if __name__ == "__main__":
    main()
