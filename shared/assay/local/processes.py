"""Looks at processes by id, and ends children and what killed parents left behind. Used by `stack` and `azurite`."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from assay.errors import ServiceError


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


def stop_child(process: subprocess.Popen[bytes], seconds: float) -> None:
    """End a child by SIGTERM, or by force if it has not left after so many seconds. A second call does nothing."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def stop_leftover(pid_file: Path, *marks: str, seconds: float) -> None:
    """End the process that a killed parent left behind, and remove its pid file; there may be neither.

    A command line with all `marks` proves that the pid is still its. Raises ServiceError if it does not stop in time.
    """
    text = pid_file.read_text(encoding="ascii").strip() if pid_file.exists() else ""
    pid = int(text) if text.isdecimal() else 0
    if pid and _is_marked(pid, marks):
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while _is_marked(pid, marks):
            if time.monotonic() > deadline:
                raise ServiceError(f"Process {pid}, left over from an earlier run ({pid_file}), does not stop. End it.")
            time.sleep(0.02)
    pid_file.unlink(missing_ok=True)


def _is_marked(pid: int, marks: tuple[str, ...]) -> bool:
    running = command_line(pid)
    return all(mark in running for mark in marks)


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """While the block runs, SIGTERM and a closed terminal end it as Ctrl-C does: children are stopped in order."""
    signals = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(each, signal.default_int_handler) for each in signals]
    try:
        yield
    finally:
        for each, handler in zip(signals, before, strict=True):
            signal.signal(each, handler)
