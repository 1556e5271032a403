"""A PostgreSQL server of one's own for tests: on 127.0.0.1, on a free port, its data in a folder that goes away."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
START_SECONDS = 60


def postgres_folder() -> Path | None:
    """Where the server's programs are, or None."""
    found = shutil.which("initdb")
    if found and (Path(found).resolve().parent / "postgres").exists():
        return Path(found).resolve().parent
    folders = [folder for pattern in FOLDERS for folder in Path("/").glob(pattern.removeprefix("/"))]
    return next((folder for folder in sorted(folders, reverse=True) if (folder / "postgres").exists()), None)


def server_user() -> str | None:
    """The user as whom the server runs: it refuses to run as root."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)


@contextmanager
def postgres_server() -> Iterator[str]:
    """The address of a fresh server with an empty database, for SQLAlchemy with psycopg."""
    programs, user = postgres_folder(), server_user()
    assert programs is not None
    with tempfile.TemporaryDirectory(prefix="assay-postgres-") as folder:
        if user:
            shutil.chown(folder, user)
        data, port = f"{folder}/data", _free_port()
        make = [programs / "initdb", "-D", data, "-U", "tester", "--auth=trust", "-E", "UTF8", "--locale=C", "-N"]
        subprocess.run(make, check=True, user=user, stdout=subprocess.DEVNULL, cwd=folder)
        options = ["-h", "127.0.0.1", "-p", str(port), "-k", folder, "-F"]
        with open(f"{folder}/log", "wb") as log:
            server = subprocess.Popen([programs / "postgres", "-D", data, *options], user=user, stderr=log, cwd=folder)
        try:
            _await_server(programs, port, server)
            yield f"postgresql+psycopg://tester@127.0.0.1:{port}/postgres"
        finally:
            server.terminate()
            server.wait(START_SECONDS)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _await_server(programs: Path, port: int, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    ready = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(ready, check=False).returncode != 0:
        assert server.poll() is None, "the server ended at once"
        assert time.monotonic() < deadline, "the server did not come up"
        time.sleep(0.1)
