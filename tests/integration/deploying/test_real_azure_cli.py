"""The real Azure CLI takes every command that the scripts run and the documentation shows, and works on storage.

Nobody is logged in, and nothing asks Azure. Without an Azure CLI these tests are left out; `make test-az` installs one.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient
from tests.integration.deploying.recorded import IMAGE, ROOT, Run
from tests.stand_ins.azure_cli import DIGEST, GROUP, Cloud

from assay.local.azurite import Azurite, start_azurite

AZ = os.environ.get("AZURE_CLI") or shutil.which("az") or ""
pytestmark = [
    pytest.mark.skipif(not AZ, reason="no Azure CLI; `make test-az` installs one"),
    pytest.mark.timeout(600),
    pytest.mark.slow,
]

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "infra" / "README.md"]
SCRIPTS = sorted((ROOT / "scripts" / "azure_deploy").glob("*.py"))
VAULT = {"name": "kv-a", "properties": {"vaultId": f"{GROUP}/providers/Microsoft.KeyVault/vaults/kv-a"}}
ACCOUNT = {"name": "oai-a", "location": "swedencentral", "id": f"{GROUP}/providers/Microsoft.CognitiveServices/a"}
HELD = {"sku": {"name": "GlobalStandard", "capacity": 1}, "properties": {"model": {"name": "gpt-5.4-mini"}}}


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The real `az` with settings of its own, so that nobody is logged in and nothing is sent about its use."""
    monkeypatch.setenv("AZURE_CONFIG_DIR", str(tmp_path / "azure"))
    monkeypatch.setenv("AZURE_CORE_COLLECT_TELEMETRY", "false")
    return AZ


def complaints(az: str, commands: list[list[str]]) -> dict[str, str]:
    """What the CLI says of those commands that it does not take."""
    about = subprocess.run([az, "--version"], capture_output=True, text=True, check=True).stdout
    python = re.search(r"Python location '([^']+)'", about)
    assert python, about
    parser = [python[1], str(Path(__file__).with_name("az_arguments.py"))]
    told = subprocess.run(parser, input=json.dumps(commands), capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    answers = zip(commands, json.loads(told.stdout), strict=True)
    return {shlex.join(command): complaint for command, complaint in answers if complaint}


def distinct(calls: list[list[str]]) -> list[list[str]]:
    return [json.loads(one) for one in dict.fromkeys(json.dumps(call) for call in calls)]


def test_the_parser_refuses_what_is_wrong(real: str) -> None:
    """Or the tests below would prove nothing."""
    wrong = ["deployment", "sub", "what-if", "--name", "x", "--location", "y", "--templaet", "z"]
    assert list(complaints(real, [["version"], wrong])) == [shlex.join(wrong)]


def test_the_cli_takes_every_command_of_the_scripts(
    real: str, cloud: Cloud, deploy: Run, teardown: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Words and options, first and second time, with every branch that asks something more."""
    for command, answer in {
        "provider list": [],
        "cognitiveservices account list": [{"name": "oai-a", "location": "swedencentral"}],
        "cognitiveservices account deployment list": [HELD],
        "cognitiveservices account list-deleted": [ACCOUNT],
        "keyvault list-deleted": [VAULT],
        "bicep build-params": {"parametersJson": json.dumps({"parameters": {}})},
    }.items():
        cloud.answers(command, answer)
    dev = str(ROOT / "infra" / "dev.bicepparam")
    assert deploy("--yes", "--no-smoke", "--base-digest", DIGEST, "--subscription", "Research") == 0
    assert deploy("--yes", "--no-smoke", "--parameters", dev, "--image", IMAGE) == 0
    assert teardown("--yes", "--purge") == 0

    calls = distinct(cloud.calls)

    families = {" ".join(re.split(r" -", " ".join(call))[0].split()[:4]) for call in calls}
    assert len(families) >= 22
    assert complaints(real, calls) == {}


def test_the_cli_takes_every_command_of_the_documentation(real: str, tmp_path: Path) -> None:
    """As a shell hands them over: from blocks as they stand, and from the text where options are written out."""
    calls = distinct([call for text in written() for call in heard(text, tmp_path)])

    assert len(calls) >= 25
    assert complaints(real, calls) == {}


def written() -> Iterator[str]:
    """What pages and messages show as commands of `az`."""
    for page in [*PAGES, *SCRIPTS]:
        text = page.read_text(encoding="utf-8")
        yield from (block for block in re.findall(r"```(?:console)?\n(.*?)```", text, re.DOTALL) if "az " in block)
        yield from re.findall(r"`(az [^`\n{]* --[^`\n{]*)`", text)


HEARS = """#!{python} -IS
import json, sys
open({calls!r}, "a").write(json.dumps(sys.argv[1:]) + chr(10))
print("x")
"""


def heard(text: str, folder: Path) -> list[list[str]]:
    """What `az` is called with when a shell runs a text; nothing else can be run from there."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    calls = programs / "calls"
    calls.write_text("")
    (programs / "az").write_text(HEARS.format(python=sys.executable, calls=str(calls)))
    (programs / "az").chmod(0o755)
    shell = ["/bin/sh", "-c", text]
    subprocess.run(shell, cwd=programs, env={"PATH": str(programs)}, capture_output=True, check=False)
    return [json.loads(line) for line in calls.read_text().splitlines()]


# Storage


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """A storage account for this file alone, as its containers have their real names."""
    server = start_azurite(tmp_path_factory.mktemp("azurite"), ROOT / "tools" / "azurite")
    yield server
    server.stop()


def run_az(az: str, account: Azurite, words: list[str]) -> str:
    """What a storage command prints, against the emulator in place of an account and a sign-in."""
    asked = [
        word for word in words if word not in {"ACCOUNT", "login"} and word not in {"--account-name", "--auth-mode"}
    ]
    command = [az, *asked, "--connection-string", account.connection_string, "--only-show-errors"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{shlex.join(words)}: {done.stderr}"
    return done.stdout


@pytest.mark.azurite
def test_what_assay_uploads_the_cli_lists_and_downloads(real: str, account: Azurite, tmp_path: Path) -> None:
    """Step 8 of a deployment, seen from outside: the suite is there, byte for byte."""
    suite = ROOT / "config" / "support-triage"
    environment = {"PATH": os.environ["PATH"], "ASSAY_STORAGE": account.connection_string}
    assay = str(Path(sys.executable).with_name("assay"))
    subprocess.run([assay, "deploy", str(suite)], cwd=tmp_path, env=environment, capture_output=True, check=True)

    words = ["storage", "blob", "list", "--container-name", "suites", "--prefix", "support-triage/", "--output", "json"]
    listed: list[dict[str, Any]] = json.loads(run_az(real, account, words))
    (name,) = (one["name"] for one in listed if one["name"].endswith("suite.yaml"))
    words = [
        "storage",
        "blob",
        "download",
        "--container-name",
        "suites",
        "--name",
        name,
        "--file",
        str(tmp_path / "got"),
    ]
    run_az(real, account, words)

    assert (tmp_path / "got").read_bytes() == (suite / "suite.yaml").read_bytes()


@pytest.mark.azurite
def test_a_file_that_the_cli_drops_lies_in_the_inbox_as_one_that_assay_drops(
    real: str, account: Azurite, tmp_path: Path
) -> None:
    """Whoever has the CLI alone can start a run."""
    file = ROOT / "config" / "support-triage" / "tickets.csv"
    with BlobServiceClient.from_connection_string(account.connection_string) as service:
        service.create_container("inbox")
        words = ["storage", "blob", "upload", "--container-name", "inbox", "--name", "support-triage/tickets.csv"]
        run_az(real, account, [*words, "--file", str(file), "--output", "none"])

        blob = service.get_blob_client("inbox", "support-triage/tickets.csv")
        assert blob.download_blob().readall() == file.read_bytes()
        assert blob.get_blob_properties().blob_type == "BlockBlob"


@pytest.mark.azurite
def test_the_storage_commands_of_the_runbook_show_what_is_there(real: str, account: Azurite, tmp_path: Path) -> None:
    """Each as it stands there, but for account and sign-in."""
    calls = [call for text in written() for call in heard(text, tmp_path) if call[:2] in STORAGE and "ACCOUNT" in call]
    assert {call[1] for call in calls} == {"message", "blob"}

    for words in calls:
        put_something(account, words)
        shown = run_az(real, account, words)
        assert "NAME" in shown or "a message" in shown


STORAGE = (["storage", "blob"], ["storage", "message"])


def put_something(account: Azurite, words: list[str]) -> None:
    """A blob or a message where a command looks for one."""
    if "--queue-name" in words:
        with QueueServiceClient.from_connection_string(account.connection_string) as queues:
            queue = queues.create_queue(words[words.index("--queue-name") + 1])
            queue.send_message("a message")
        return
    container = words[words.index("--container-name") + 1]
    prefix = words[words.index("--prefix") + 1] if "--prefix" in words else ""
    with BlobServiceClient.from_connection_string(account.connection_string) as blobs:
        if not blobs.get_container_client(container).exists():
            blobs.create_container(container)
        blobs.get_blob_client(container, f"{prefix}NAME").upload_blob(b"NAME", overwrite=True)
