"""A process that outlives a killed bench for a moment: it ends what the bench had started and removes its folder.

Linux only, by process id and start time; the bench starts one for each stage.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

LAST_WRITES_SECONDS = 0.5


@dataclass(frozen=True)
class Survivor:
    """Reads one process id per line; its input is closed when the bench is gone, however it ended."""

    process: subprocess.Popen[bytes]

    def will_end(self, *pids: int) -> None:
        """From now on these processes are not left behind."""
        assert self.process.stdin is not None
        self.process.stdin.write("".join(f"{pid}\n" for pid in pids).encode())
        self.process.stdin.flush()


@contextmanager
def open_survivor(folder: Path) -> Iterator[Survivor]:
    """At the end of the block there is nothing left for it to do: whoever enters it ends the processes inside."""
    command = [sys.executable, "-S", __file__, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield Survivor(process)
    finally:
        process.kill()
        process.wait()
        if process.stdin is not None:
            process.stdin.close()


def main() -> None:
    """Remembers processes until its input ends, and then ends those that are still the same."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    folder = Path(sys.argv[1])
    started = {int(line): start_time(int(line)) for line in sys.stdin}
    for pid, before in started.items():
        if before and start_time(pid) == before:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    time.sleep(LAST_WRITES_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)


def start_time(pid: int) -> str:
    """When a live process was started, in ticks since the machine's start; "" when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19]
    except OSError:
        return ""


if __name__ == "__main__":
    main()
