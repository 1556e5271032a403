"""The local stack: Azurite, the Azure OpenAI emulator and the host as child processes on free loopback ports.

`assay up` and `assay demo` start it; its addresses are in `<home>/stack.json` while it runs, for the other commands.
"""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from assay.errors import ServiceError, UserError
from assay.local.azurite import start_azurite
from assay.local.files import write_whole
from assay.local.processes import command_line, stop_child, stop_leftover
from assay.provenance.signing import LocalKeySigner

HOME = Path(os.environ.get("ASSAY_HOME", ".assay"))
STACK_FILE = "stack.json"
KEY_FILE, PUBLIC_KEY_FILE = Path("keys/signing.pem"), Path("keys/signer.pub")
READY_SECONDS = 60.0
STOP_SECONDS = 40.0


@dataclass(frozen=True)
class StackOptions:
    """What to start. `emulators` are the emulator files of suites; whatever they do not script gets filler answers.

    With `known_deployments_only` a deployment that no emulator file names is missing, as it would be in Azure.
    `inject_failures` is what host and workers find in ASSAY_INJECT_FAILURES, `code` what they find in ASSAY_CODE,
    `quota` what they find in ASSAY_QUOTA.
    """

    home: Path
    workers: int = 1
    emulators: tuple[Path, ...] = ()
    count_storage_requests: bool = False
    message_lease_seconds: int = 30
    known_deployments_only: bool = False
    inject_failures: str | None = None
    code: tuple[Path, ...] = ()
    quota: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Stack:
    """Addresses and process ids of a running stack."""

    storage: str
    openai: str
    openai_key: str = field(repr=False)
    host: str
    owner: int
    emulators: tuple[str, ...]
    pids: dict[str, int]
    code: tuple[str, ...] = ()

    def environment(self, home: Path) -> dict[str, str]:
        """What a process of the product needs to use this stack."""
        return {
            "ASSAY_STORAGE": self.storage,
            "AZURE_OPENAI_ENDPOINT": self.openai,
            "AZURE_OPENAI_API_KEY": self.openai_key,
            "ASSAY_SIGNING_KEY_FILE": str((home / KEY_FILE).resolve()),
        }


def project_root() -> Path:
    """The checkout that holds `function_app` and `tools`. Raises UserError outside of one."""
    places = [Path.cwd(), *Path.cwd().parents, *Path(__file__).resolve().parents]
    for place in places:
        if (place / "function_app" / "host.json").is_file():
            return place
    raise UserError("the local stack needs a checkout of Assay; run this inside one (there is a function_app folder)")


def running_stack(home: Path) -> Stack | None:
    """The stack that runs on `home`, or None."""
    try:
        stack = Stack(**json.loads((home / STACK_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return stack if "assay" in command_line(stack.owner) else None


@contextmanager
def started_stack(options: StackOptions) -> Iterator[Stack]:
    """Starts everything, gives the addresses, and stops everything in order: host, emulator, storage.

    What a killed parent left behind on the same home is stopped first. Raises ServiceError when a part does not start.
    """
    home = options.home
    if running_stack(home):
        raise UserError(f"a local stack runs on {home} already; stop it with Ctrl-C where it runs, or use it")
    (home / "logs").mkdir(parents=True, exist_ok=True)
    signer = LocalKeySigner.load_or_create(home / KEY_FILE)
    write_whole(home / PUBLIC_KEY_FILE, signer.public_key_pem.decode())  # for `assay verify --key`
    for pid_file in home.glob("*.pid"):
        stop_leftover(pid_file, "assay.local", seconds=STOP_SECONDS)
    with ExitStack() as parts:
        access_log = home / "logs" / "storage-requests.log" if options.count_storage_requests else None
        azurite = start_azurite((home / "storage").resolve(), project_root() / "tools" / "azurite", access_log)
        parts.callback(azurite.stop)
        key = secrets.token_hex(16)
        emulator, openai_port = parts.enter_context(running_child(home, "emulator", emulator_command(options, key), {}))
        openai = f"http://127.0.0.1:{openai_port}"
        scripts = tuple(str(path.resolve()) for path in options.emulators)
        code = tuple(str(path.resolve()) for path in options.code)
        stack = Stack(azurite.connection_string, openai, key, "", os.getpid(), scripts, {}, code)
        environment = stack.environment(home) | drill_environment(options) | code_environment(code)
        environment |= quota_environment(options)
        host, port = parts.enter_context(running_child(home, "host", host_command(options), environment))
        pids = {"storage": azurite.process.pid, "emulator": emulator, "host": host}
        stack = replace(stack, host=f"http://127.0.0.1:{port}", pids=pids)
        write_whole(home / STACK_FILE, json.dumps(asdict(stack)))
        parts.callback((home / STACK_FILE).unlink, missing_ok=True)
        yield stack


def emulator_command(options: StackOptions, key: str) -> list[str]:
    """The Python arguments that run the emulator."""
    configs = [part for path in options.emulators for part in ("--config", str(path))]
    log = str(options.home / "logs" / "model-requests.jsonl")
    extra = () if options.known_deployments_only else ("--any-deployment",)
    return ["-m", "assay.local.openai_emulator", *configs, "--key", key, "--log", log, *extra]


def host_command(options: StackOptions) -> list[str]:
    """The Python arguments that run the host."""
    app, data = str(project_root() / "function_app"), str(options.home / "host")
    choices = {"--workers": options.workers, "--message-lease-seconds": options.message_lease_seconds}
    chosen = [part for name, value in choices.items() for part in (name, str(value))]
    return ["-m", "assay.local.host", "--app", app, "--data", data, *chosen]


def drill_environment(options: StackOptions) -> dict[str, str]:
    """What makes the workers fail on purpose; nothing when they shall not."""
    return {"ASSAY_INJECT_FAILURES": options.inject_failures} if options.inject_failures else {}


def code_environment(code: Sequence[str]) -> dict[str, str]:
    """Where host and workers may import programs from; nothing unless a suite brings code."""
    return {"ASSAY_CODE": os.pathsep.join(code)} if code else {}


def quota_environment(options: StackOptions) -> dict[str, str]:
    """What tells host and workers what deployments grant, as Azure's template does; nothing where nobody says it."""
    return {"ASSAY_QUOTA": json.dumps(options.quota)} if options.quota else {}


@contextmanager
def running_child(home: Path, name: str, command: list[str], environment: dict[str, str]) -> Iterator[tuple[int, int]]:
    """Runs a Python child until the block ends; gives its pid and the port that it listens on."""
    ready, log = home / f"{name}.ready", home / "logs" / f"{name}.log"
    ready.unlink(missing_ok=True)
    with log.open("ab") as output:
        # A session of its own: Ctrl-C reaches only us, and we stop the parts in order.
        process = subprocess.Popen(
            [sys.executable, *command, "--port", "0", "--ready-file", str(ready)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    try:
        write_whole(home / f"{name}.pid", str(process.pid))
        yield process.pid, _port(process, ready, log, name)
    finally:
        stop_child(process, STOP_SECONDS)
        (home / f"{name}.pid").unlink(missing_ok=True)
        ready.unlink(missing_ok=True)


def _port(process: subprocess.Popen[bytes], ready: Path, log: Path, name: str) -> int:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if ready.exists() and (text := ready.read_text(encoding="utf-8").strip()):
            return _read_port(text)
        if process.poll() is not None:
            break
        time.sleep(0.02)
    tail = log.read_text(encoding="utf-8", errors="replace")[-1_500:]
    raise ServiceError(f"the local {name} did not start; the end of {log}:\n{tail}")


def _read_port(text: str) -> int:
    """The emulator writes its port, the host a JSON object with its address."""
    ready = json.loads(text)
    return ready if isinstance(ready, int) else int(ready["url"].rpartition(":")[2])
