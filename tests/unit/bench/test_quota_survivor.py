"""What is left when the bench itself is killed."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.quota import survivor


def test_when_the_bench_is_gone_its_processes_are_ended_and_its_folder_is_removed(tmp_path: Path) -> None:
    """The end of the input is the end of the bench; a stopped process is ended too."""
    folder = tmp_path / "stage"
    folder.mkdir()
    child = subprocess.Popen([sys.executable, "-S", "-c", "import signal; signal.pause()"])
    try:
        child.send_signal(signal.SIGSTOP)
        command = [sys.executable, "-S", survivor.__file__, str(folder)]
        ended = subprocess.run(command, input=f"{child.pid}\n".encode(), check=True, timeout=30)
        assert ended.returncode == 0
        assert child.wait(10) == -signal.SIGKILL
    finally:
        child.kill()
        child.wait()
    assert not folder.exists()


def test_another_process_with_the_same_id_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An id may be given again, but not with the same start time."""
    times = iter(["100", "200"])
    ended: list[int] = []
    monkeypatch.setattr(survivor, "start_time", lambda pid: next(times))
    monkeypatch.setattr(survivor.os, "kill", lambda pid, number: ended.append(pid))
    monkeypatch.setattr(survivor.signal, "signal", lambda *_: None)
    monkeypatch.setattr(survivor.time, "sleep", lambda _: None)
    monkeypatch.setattr(sys, "argv", ["survivor", str(tmp_path / "stage")])
    monkeypatch.setattr(sys, "stdin", io.StringIO("4711\n"))
    survivor.main()
    assert ended == []
