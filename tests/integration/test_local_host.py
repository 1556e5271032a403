"""The local host as a process: a whole batch, workers, crashes, and a drained stop."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from local_host import SAMPLE_APP, HostProcess, until

from assay.local.azurite import Azurite

pytestmark = [pytest.mark.azurite, pytest.mark.slow]

NUMBERS = range(1, 61)
FILE = "\n".join(str(number) for number in NUMBERS)
EXPECTED = {"sum": sum(number**2 for number in NUMBERS if number != 13), "failed": 1}


@pytest.fixture
async def host(azurite: Azurite, tmp_path: Path) -> AsyncIterator[HostProcess]:
    async with HostProcess(azurite, tmp_path) as host:
        yield host


@pytest.fixture
async def slow_host(azurite: Azurite, tmp_path: Path) -> AsyncIterator[HostProcess]:
    """Every row takes a while, so that there is a middle of a run to do something in."""
    async with HostProcess(azurite, tmp_path, SAMPLE_ROW_SECONDS="0.3") as host:
        yield host


async def test_a_dropped_file_becomes_a_finished_batch(host: HostProcess) -> None:
    """Blob trigger, orchestration, queue rows with retries, a poison row and HTTP status, in one process."""
    await host.start()
    await host.drop("one/ä ö — ü.txt", FILE)

    state = await host.finished_run("one")

    assert (state["status"], state["output"]) == ("Completed", EXPECTED)
    assert await host.notes("tick") == [{"past_due": False}]
    assert len(host.events("queue_poison")) == 1
    assert [note["name"] for note in await host.notes("drop")] == [f"{host.prefix}-drops/one/ä ö — ü.txt"]


async def test_workers_share_the_rows(host: HostProcess) -> None:
    """With --workers, queue functions run in children, whose durable clients reach the host."""
    await host.start("--workers", "2")
    await until(lambda: len(host.events("worker_ready")) == 2)
    await host.drop("two/rows.txt", FILE)

    state = await host.finished_run("two")

    assert state["output"] == EXPECTED
    squares = [event for event in host.events("function_succeeded") if event["function"] == "square"]
    assert {event.get("worker") for event in squares} == {event["pid"] for event in host.events("worker_ready")}


async def test_a_killed_worker_is_replaced_and_the_run_ends_right(slow_host: HostProcess) -> None:
    """Its messages are seen again when their leases end."""
    await slow_host.start("--workers", "1")
    await slow_host.drop("three/rows.txt", FILE)
    await until(lambda: any(event["function"] == "square" for event in slow_host.events("function_succeeded")))
    os.kill(slow_host.events("worker_started")[0]["pid"], signal.SIGKILL)

    state = await slow_host.finished_run("three")

    assert state["output"] == EXPECTED
    assert [event["exit_code"] for event in slow_host.events("worker_died")] == [-signal.SIGKILL]
    assert len(slow_host.events("worker_started")) == 2


@pytest.mark.parametrize("workers", ["0", "2"])
async def test_a_killed_host_goes_on_where_it_was(slow_host: HostProcess, workers: str) -> None:
    """kill -9 in the middle of a run, twice; the third life ends it with the right result."""
    await slow_host.start("--workers", workers)
    await slow_host.drop("four/rows.txt", FILE)
    for life in (1, 2):
        done = life * 10
        await until(lambda done=done: rows_done(slow_host) >= done)  # type: ignore[misc]
        slow_host.kill()
        await slow_host.start("--workers", workers)

    state = await slow_host.finished_run("four")

    assert (state["status"], state["output"]) == ("Completed", EXPECTED)


def rows_done(host: HostProcess) -> int:
    return sum(event["function"] == "square" for event in host.events("function_succeeded"))


async def test_workers_leave_when_their_host_is_killed(host: HostProcess) -> None:
    """Their standard input closes, however the host ended."""
    await host.start("--workers", "2")
    await until(lambda: len(host.events("worker_ready")) == 2)
    host.kill()

    pids = [event["pid"] for event in host.events("worker_ready")]
    await until(lambda: not any(is_running(pid) for pid in pids))


def is_running(pid: int) -> bool:
    """A process that has ended but was not yet collected by its parent does not count."""
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(listed.strip()) and not listed.strip().startswith("Z")


@pytest.mark.parametrize("workers", ["0", "1"])
async def test_a_stop_lets_running_rows_finish(azurite: Azurite, tmp_path: Path, workers: str) -> None:
    """SIGTERM: what is being worked on is finished and deleted, the rest stays in the queue, the exit code is 0."""
    async with HostProcess(azurite, tmp_path, SAMPLE_ROW_SECONDS="1.5") as host:
        await host.start("--workers", workers)
        await host.drop("five/rows.txt", "\n".join(str(number) for number in range(200, 300) if number % 10 != 7))
        await until(lambda: rows_begun(host) >= 12)

        exit_code = await host.stop()

        assert exit_code == 0
        assert not host.events("function_failed")
        assert len(await host.names(f"{host.prefix}-results")) == rows_begun(host) == rows_done(host)
        queue = await host.queues.get_queue_client(f"{host.prefix}-rows").get_queue_properties()
        assert queue.approximate_message_count == 90 - rows_done(host)


def rows_begun(host: HostProcess) -> int:
    return len(host.events("sample.row"))


async def test_a_second_signal_ends_the_host_at_once(azurite: Azurite, tmp_path: Path) -> None:
    """A person who presses Ctrl-C twice does not want to wait."""
    async with HostProcess(azurite, tmp_path, SAMPLE_ROW_SECONDS="600") as host:
        await host.start()
        await host.drop("six/rows.txt", "1")
        await until(lambda: rows_begun(host) == 1)
        host.process.send_signal(signal.SIGINT)
        await until(lambda: bool(host.events("host_stopping")))

        assert await host.stop() == 130


async def test_a_second_host_on_the_same_data_is_refused(host: HostProcess) -> None:
    """Exit code 2, and the message says what to do."""
    await host.start()
    command = [sys.executable, "-m", "assay.local.host", "--app", str(SAMPLE_APP), "--data", str(host.folder)]
    second = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=120)

    assert second.returncode == 2
    assert "Another host is running on" in second.stderr
