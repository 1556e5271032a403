"""Fixtures that every room's tests may use."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from azure.core.configuration import ConnectionConfiguration
from hypothesis import HealthCheck, is_hypothesis_test, settings

from assay.local.azurite import Azurite, start_azurite
from assay.telemetry import LOGGER
from stand_ins.certificate import write_certificate
from stand_ins.managed_identity import ManagedIdentity

ROOT = Path(__file__).resolve().parent.parent
MEMORY_DISK = Path("/dev/shm")
FOLDERS_WITH_PROCESSES = {"contract", "integration", "end_to_end", "conformance"}
SECONDS_ON_A_BUSY_MACHINE = 300

# A machine that is busy with something else says nothing about the code. In continuous integration the examples are
# the same every time: new ones are for the desk, where somebody can look into what they find.
settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=bool(os.environ.get("CI"))
)
settings.load_profile("unhurried")


def pytest_configure(config: pytest.Config) -> None:
    """Warnings are errors, but the Functions library gives one, once per process, for every plain JSON payload."""
    _let_children_be_interrupted()
    config.addinivalue_line("filterwarnings", "ignore:azure.functions df_loads was called without expected_type")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On a busy machine processes and many examples take long, through no fault of theirs; only what hangs is ended."""
    for item in items:
        starts_processes = FOLDERS_WITH_PROCESSES.intersection(item.path.parts)
        takes_long = starts_processes or is_hypothesis_test(getattr(item, "obj", None))
        if takes_long and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SECONDS_ON_A_BUSY_MACHINE))


def _let_children_be_interrupted() -> None:
    """A shell starts background jobs with SIGINT ignored, which children would inherit, and never hear of Ctrl+C."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """One storage emulator for the whole session; every test uses container and queue names of its own."""
    with running_azurite() as server:
        yield server


@pytest.fixture(scope="session")
def keyless_azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """One that speaks HTTPS and takes tokens of Entra ID, whoever signed them."""
    with running_azurite(write_certificate(tmp_path_factory.mktemp("certificate") / "storage.pem")) as server:
        yield server


@pytest.fixture
def trusting(keyless_azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Azure clients of this process trust its certificate, as SSL_CERT_FILE makes a process do that starts with it."""
    defaults = ConnectionConfiguration.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "connection_verify", str(keyless_azurite.certificate))


@pytest.fixture(scope="session")
def managed_identity() -> Iterator[ManagedIdentity]:
    """The platform's endpoint for tokens; a test sets `environment` to have it."""
    identity = ManagedIdentity()
    yield identity
    identity.close()


@contextmanager
def running_azurite(certificate: Path | None = None) -> Iterator[Azurite]:
    parent = MEMORY_DISK if MEMORY_DISK.is_dir() else None
    data_dir = Path(tempfile.mkdtemp(prefix="assay-azurite-", dir=parent))
    server = start_azurite(data_dir, ROOT / "tools" / "azurite", certificate=certificate)
    yield server
    server.stop()
    shutil.rmtree(data_dir, ignore_errors=True)


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """`log_as_json` changes the process's logging; what was set before comes back."""
    root, ours, factory = logging.getLogger(), logging.getLogger(LOGGER), logging.getLogRecordFactory()
    before = root.handlers[:], root.level, ours.level
    yield
    logging.setLogRecordFactory(factory)
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])
