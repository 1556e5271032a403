"""The deploy scripts, with stand-ins for `az` and `assay` first on PATH and nobody at the keyboard."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from tests.integration.deploying.recorded import ROOT, Run
from tests.stand_ins.azure_cli import Cloud

ASSAY = """#!{python} -IS
import json, os, sys, time
from pathlib import Path
here = Path(__file__).parent
ours = {{name: value for name, value in os.environ.items() if name.startswith(("ASSAY_", "KEY_VAULT_"))}}
seen = {{"words": sys.argv[1:], "environment": ours}}
log = here / "assay.jsonl"
tries = sum(1 for _ in log.open()) if log.exists() else 0
with log.open("a") as lines:
    lines.write(json.dumps(seen) + "\\n")
failing = here / "assay_fails"
if failing.exists():
    code, times, message = json.loads(failing.read_text())
    if tries < times:
        sys.exit(sys.stderr.write(message) and code)
failing = here / f"{{sys.argv[1]}}_fails"
if failing.exists():
    code, message = json.loads(failing.read_text())
    sys.exit(sys.stderr.write(message) and code)
if (here / f"{{sys.argv[1]}}_hangs").exists():
    time.sleep(60)
if sys.argv[1] == "submit":
    print(json.dumps({{"run": "smoke-1a2b"}}))
"""


@pytest.fixture(scope="module")
def deploying() -> Iterator[ModuleType]:
    """The script's modules, which are no part of the package."""
    sys.path.insert(0, str(ROOT / "scripts"))
    import azure_deploy.main
    import azure_deploy.teardown

    yield azure_deploy
    sys.path.remove(str(ROOT / "scripts"))


@pytest.fixture
def cloud(tmp_path: Path, deploying: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """`az` and `assay` stand-ins, first in line; nobody at the keyboard."""
    made = Cloud(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{made.install()}:/usr/bin:/bin")
    monkeypatch.setenv("ASSAY_STORAGE", "UseDevelopmentStorage=true")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    program = made.folder / "assay"
    program.write_text(ASSAY.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setattr("azure_deploy.preflight.ASSAY", program)
    monkeypatch.setattr("azure_deploy.suites.ASSAY", program)
    monkeypatch.setattr("azure_deploy.main.deployment_of_sample", lambda: "gpt-5.4-mini")
    monkeypatch.setattr("azure_deploy.suites.SECONDS_BETWEEN_TRIES", 0.0)
    return made


@pytest.fixture
def deploy(deploying: ModuleType) -> Run:
    """Run `scripts/deploy` in a region, with more options."""
    return lambda *options: int(deploying.main.main(["--location", "swedencentral", *options]))


@pytest.fixture
def teardown(deploying: ModuleType) -> Run:
    """Run `scripts/teardown` likewise."""
    return lambda *options: int(deploying.teardown.main(["--location", "swedencentral", *options]))
