"""The storage emulator as a child process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from assay.errors import ServiceError
from assay.local.azurite import Azurite, count_requests, start_azurite

pytestmark = pytest.mark.azurite
TOOLS = Path(__file__).resolve().parents[2] / "tools" / "azurite"


def test_blobs_survive_a_stop_and_a_start_on_the_same_folder(tmp_path: Path) -> None:
    """stop() flushes, so the next start finds everything."""
    first = start_azurite(tmp_path, TOOLS)
    write_blob(first, "kept")
    first.stop()

    second = start_azurite(tmp_path, TOOLS)
    names = list_blobs(second)
    second.stop()

    assert names == ["kept"]


def test_a_second_stop_does_nothing(tmp_path: Path) -> None:
    """stop() may be called twice."""
    server = start_azurite(tmp_path, TOOLS)
    server.stop()
    server.stop()
    assert server.process.returncode == 0


def test_a_server_whose_parent_was_killed_is_stopped_by_the_next_start(tmp_path: Path) -> None:
    """An orphan flushes its data and gives up its folder."""
    code = (
        "import sys, time; from pathlib import Path; from assay.local.azurite import start_azurite;"
        "s = start_azurite(Path(sys.argv[1]), Path(sys.argv[2])); print(s.blob_port, flush=True);"
        "time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), str(TOOLS)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        orphan_port = int(parent.stdout.readline())
        parent.kill()

    server = start_azurite(tmp_path, TOOLS)
    server.stop()

    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", orphan_port)):
        pass


def test_a_pid_file_that_names_another_program_harms_nobody(tmp_path: Path) -> None:
    """A reused pid is not stopped: the command line must name Azurite and the folder."""
    (tmp_path / "azurite.pid").write_text(str(os.getpid()))
    server = start_azurite(tmp_path, TOOLS)
    server.stop()


def test_an_access_log_is_counted_by_operation(tmp_path: Path) -> None:
    """Benchmarks read how many storage calls of each kind were made."""
    log = tmp_path / "access.log"
    server = start_azurite(tmp_path / "data", TOOLS, access_log=log)
    write_blob(server, "one")
    queue = QueueServiceClient.from_connection_string(server.connection_string).get_queue_client("rows")
    queue.create_queue()
    queue.send_message("hello")
    queue.delete_message(next(iter(queue.receive_messages())))
    server.stop()

    assert count_requests(log) == {
        "put container or queue": 2,
        "put blob": 1,
        "send message": 1,
        "receive messages": 1,
        "delete message": 1,
    }


def test_a_missing_install_says_what_to_run(tmp_path: Path) -> None:
    """The error names the missing file and the command that installs it."""
    with pytest.raises(ServiceError, match=r"azurite\.js is missing\. Run `make setup`"):
        start_azurite(tmp_path / "data", tmp_path)


def write_blob(server: Azurite, name: str) -> None:
    with BlobServiceClient.from_connection_string(server.connection_string) as service:
        container = service.get_container_client("things")
        container.create_container()
        container.upload_blob(name, b"x")


def list_blobs(server: Azurite) -> list[str]:
    with BlobServiceClient.from_connection_string(server.connection_string) as service:
        return [blob.name for blob in service.get_container_client("things").list_blobs()]
