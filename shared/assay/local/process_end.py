"""How a process of the local host begins to stop, and how it ends. Used by the host and by its worker processes."""

import asyncio
import os
import signal
import sys

from assay.errors import EXIT_OK, AssayError
from assay.telemetry_export.opening import close_opened

_EXIT_INTERRUPTED = 130


def stop_on_signals() -> asyncio.Event:
    """Return an event that the first SIGTERM or SIGINT sets; the second ends the process at once."""
    stopping = asyncio.Event()

    def stop() -> None:
        if stopping.is_set():
            os._exit(_EXIT_INTERRUPTED)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    return stopping


def end_process(error: AssayError | None = None) -> None:
    """End this process now, with the exit code of `error`, whose text goes to standard error.

    A normal exit would wait for threads, and a function that ran into its timeout may never leave its thread.
    """
    if error:
        sys.stderr.write(f"{error}\n")
    close_opened()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(error.exit_code if error else EXIT_OK)
