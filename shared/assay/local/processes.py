"""Looks at processes of this machine by id; whoever wants to end a left-over process asks here whose it is."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def command_line(pid: int) -> str:
    """The command line of a live process, or "" if there is none. /proc is Linux; `ps` serves elsewhere."""
    proc = Path("/proc")
    if not (proc / "self").exists():
        command = ["ps", "-o", "command=", "-p", str(pid)]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    try:
        return (proc / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def is_running(pid: int) -> bool:
    """Whether the process lives; one that has ended and was not waited for yet does not."""
    return bool(command_line(pid))


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """While the block runs, SIGTERM ends it as Ctrl-C does, so that child processes are stopped in order."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
