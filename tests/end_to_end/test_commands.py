"""The commands as a user runs them: what they print, with and without --json, and their exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from assay.local.processes import is_running
from assay.local.stack import project_root

from .conftest import ROWS
from .site import Site
from .small_suite import SUITE, rows, write_suite

pytestmark = pytest.mark.timeout(240)
ASSAY = str(Path(sys.executable).parent / "assay")


def test_a_user_deploys_submits_watches_shows_fetches_and_verifies(site: Site, tmp_path: Path) -> None:
    """The walk of the README, each step by its command."""
    dataset = _dataset(tmp_path, "walk.csv")
    assert "deployed" in site.assay("deploy", str(write_suite(tmp_path / "colours"))).stdout
    run = site.assay("submit", str(dataset), "--suite", "colours").stdout.strip()
    watched = site.assay("watch", run)
    assert f"{ROWS * 3} of {ROWS * 3} trials" in watched.stderr
    assert watched.stdout == ""
    assert run in site.assay("ls").stdout
    shown = site.assay("show", run).stdout
    assert "plain" in shown and f"bundles/{run}/" in shown
    bundle = tmp_path / "bundle"
    site.assay("fetch", run, "--to", str(bundle))
    verified = site.assay("verify", str(bundle), "--key", str(bundle / "signer.pub"))
    assert "signature verified" in verified.stdout


def test_every_reporting_command_speaks_json(site: Site, tmp_path: Path) -> None:
    """One document on standard output, nothing else there."""
    dataset = _dataset(tmp_path, "json.csv")
    run = _json(site.assay("submit", str(dataset), "--suite", "colours", "--json"))["run"]
    assert _json(site.assay("watch", run, "--json"))["stage"] == "done"
    assert run in [one["run"] for one in _json(site.assay("ls", "--json"))["runs"]]
    assert _json(site.assay("show", run, "--json"))["experiments"]["plain"]["succeeded"] == ROWS
    bundle = tmp_path / "bundle"
    assert "manifest.json" in _json(site.assay("fetch", run, "--to", str(bundle), "--json"))["files"]
    assert _json(site.assay("verify", str(bundle), "--json"))["ok"] is True
    assert _json(site.assay("validate", str(write_suite(tmp_path / "colours")), "--json"))["baseline"] == "plain"
    assert _json(site.assay("doctor", "--json"))["ok"] is True


def test_again_runs_known_content_once_more(site: Site, tmp_path: Path) -> None:
    """Without it the same content is the run that was."""
    dataset = _dataset(tmp_path, "again.csv")
    first = site.assay("submit", str(dataset), "--suite", "colours", "--watch").stdout.strip()
    assert site.assay("submit", str(dataset), "--suite", "colours").stdout.strip() == first
    assert site.assay("submit", str(dataset), "--suite", "colours", "--again", "--watch").stdout.strip() != first


def test_wrong_input_gives_exit_code_2_and_a_sentence(site: Site, tmp_path: Path) -> None:
    """On standard error, or as JSON where JSON was asked for; never a traceback."""
    broken = write_suite(tmp_path / "broken", SUITE.replace("experiments:", "experimets:"))
    cases = {
        ("validate", str(broken)): "did you mean 'experiments'?",
        ("submit", str(_dataset(tmp_path, "x.csv")), "--suite", "colour"): "did you mean 'colours'?",
        ("show", "no-such-run"): "there is no run 'no-such-run'",
        ("verify", str(tmp_path / "nothing")): "is not there; expected a bundle",
        ("fetch", "no-such-run"): "has no published bundle",
        ("no-such-command",): "No such command",
    }
    for arguments, expected in cases.items():
        ended = site.assay(*arguments, check=False)
        assert (ended.returncode, expected in ended.stderr, "Traceback" in ended.stderr) == (2, True, False), arguments
    as_json = site.assay("show", "no-such-run", "--json", check=False)
    assert _json(as_json)["exit_code"] == as_json.returncode == 2


def test_a_refused_file_is_told_at_once_and_listed(site: Site, tmp_path: Path) -> None:
    """`submit` waits for the trigger's verdict; `ls` keeps it."""
    path = tmp_path / "empty.csv"
    path.write_bytes(b"")
    ended = site.assay("submit", str(path), "--suite", "colours", check=False)
    assert ended.returncode == 2
    assert "empty.csv" in ended.stderr
    assert "inbox/colours/empty.csv" in site.assay("ls").stdout


def test_a_run_that_stops_gives_exit_code_1_and_says_how_to_go_on(site: Site, tmp_path: Path) -> None:
    """A wrong deployment would fail every trial: the run stops instead, and nobody should take it for a success."""
    suite = SUITE.replace("name: colours", "name: lost").replace("small-model", "no-such-model")
    site.assay("deploy", str(write_suite(tmp_path / "lost", suite)))
    ended = site.assay("submit", str(_dataset(tmp_path, "lost.csv")), "--suite", "lost", "--watch", check=False)
    assert ended.returncode == 1
    assert "The deployment 'no-such-model' ended with deployment_missing (404)" in ended.stderr
    assert "assay resume lost-" in ended.stderr


def test_a_bundle_with_one_flipped_byte_fails_with_exit_code_1(site: Site, tmp_path: Path) -> None:
    """The file's name is said."""
    run = site.assay("submit", str(_dataset(tmp_path, "flip.csv")), "--suite", "colours", "--watch").stdout.strip()
    bundle = tmp_path / "bundle"
    site.assay("fetch", run, "--to", str(bundle))
    content = bytearray((bundle / "results.csv").read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / "results.csv").write_bytes(content)
    ended = site.assay("verify", str(bundle), "--key", str(bundle / "signer.pub"), check=False)
    assert ended.returncode == 1
    assert "results.csv" in ended.stdout


def test_a_storage_account_that_does_not_answer_gives_exit_code_3(site: Site, tmp_path: Path) -> None:
    """Another try later may help, and the code says so."""
    dead = site.storage.replace(site.storage.split("BlobEndpoint=http://127.0.0.1:")[1].split("/")[0], "9")
    ended = subprocess.run(
        [ASSAY, "ls"], capture_output=True, text=True, env={**os.environ, "ASSAY_STORAGE": dead}, cwd=tmp_path
    )
    assert (ended.returncode, "Traceback" in ended.stderr) == (3, False)


@pytest.mark.slow
def test_a_demo_that_is_interrupted_leaves_nothing_behind_and_is_resumed(tmp_path: Path) -> None:
    """Ctrl-C stops every process in order; the next demo takes the run up and ends with a verified bundle."""
    suite = project_root() / "config" / "answer-quality"
    command = [ASSAY, "demo", "--home", str(tmp_path / "home"), "--suite", str(suite), "--workers", "1"]
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=project_root())
    assert demo.stderr
    while "asking" not in (line := demo.stderr.readline()):
        assert line, "the demo ended before it asked anything"
    pids = json.loads((tmp_path / "home" / "stack.json").read_text(encoding="utf-8"))["pids"].values()
    demo.send_signal(signal.SIGINT)
    _, errors = demo.communicate(timeout=180)
    assert demo.returncode == 130, errors
    assert not [pid for pid in pids if is_running(pid)]

    again = subprocess.run(command, capture_output=True, text=True, check=True, cwd=project_root())
    assert "Resuming the demo" in again.stderr
    assert "signature verified" in again.stdout
    assert "rubric is better than bare" in again.stdout


@pytest.mark.slow
def test_up_serves_until_ctrl_c(tmp_path: Path) -> None:
    """In one terminal `assay up`, in another the commands find it by themselves."""
    home = tmp_path / ".assay"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ASSAY_")}
    up = subprocess.Popen(
        [ASSAY, "up", str(write_suite(tmp_path / "colours")), "--home", str(home)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=project_root(), env=environment,
    )  # fmt: skip
    assert up.stdout
    while "Ctrl-C" not in (line := up.stdout.readline()):
        assert line, up.stderr and up.stderr.read()
    listed = subprocess.run([ASSAY, "ls"], capture_output=True, text=True, cwd=tmp_path, env=environment, check=True)
    assert "No runs yet" in listed.stdout
    assert "PUBLIC KEY" in (home / "keys" / "signer.pub").read_text(encoding="ascii")
    up.send_signal(signal.SIGINT)
    up.communicate(timeout=180)
    assert up.returncode == 0
    deadline = time.monotonic() + 5
    while (home / "stack.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not (home / "stack.json").exists()


def _dataset(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_text(rows(ROWS), encoding="utf-8")
    return path


def _json(ended: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(ended.stdout)
