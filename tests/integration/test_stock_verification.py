"""Tools that know nothing of Assay verify a bundle: OpenSSL, securesystemslib, Sigstore's verifier, in-toto's reading.

`TestPage` takes the commands from docs/verification.md and runs them.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey
from typer.testing import CliRunner

from assay.cli.main import app
from assay.provenance.bundle import Statement, seal_folder
from assay.provenance.signing import HmacSigner, LocalKeySigner
from assay.sinks.archive import write_archive
from assay.sinks.base import Bundle

ROOT = Path(__file__).resolve().parent.parent.parent
VERIFIER = ROOT / "tools" / "checks" / "verify_bundle.mjs"
PAGE = (ROOT / "docs" / "verification.md").read_text("utf-8")
PROVENANCE = {
    "suite": {"name": "triage", "sha256": "a" * 64},
    "dataset": {"file": "tickets.csv", "sha256": "b" * 64, "etag": "0x1", "size": 15},
    "models": {"gpt-4o-mini-2024-07-18": 3},
    "versions": {"assay": "0.1.0", "git_sha": "c" * 40},
    "seed": 7,
}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return sealed_at(tmp_path, LocalKeySigner(ec.generate_private_key(ec.SECP256R1())))


def run(*command: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True, check=False)


def envelope_of(bundle: Path) -> dict[str, object]:
    said = json.loads((bundle / "provenance.sigstore.json").read_bytes())["dsseEnvelope"]
    assert isinstance(said, dict)
    return said


class TestSecureSystemsLib:
    def key(self, bundle: Path) -> SSlibKey:
        return SSlibKey("", "ecdsa", "ecdsa-sha2-nistp256", {"public": (bundle / "signer.pub").read_text()})

    def test_verifies_the_envelope(self, bundle: Path) -> None:
        """The provenance is a DSSE envelope as any in-toto tool reads it."""
        envelope = Envelope.from_dict(envelope_of(bundle))
        assert envelope.verify([self.key(bundle)], 1)
        assert json.loads(envelope.payload)["predicateType"] == "https://slsa.dev/provenance/v1"

    def test_refuses_a_changed_payload(self, bundle: Path) -> None:
        """One other byte in the statement is another statement."""
        said = envelope_of(bundle)
        envelope = Envelope.from_dict(said)
        envelope.payload = envelope.payload.replace(b"tickets", b"tickers")
        with pytest.raises(VerificationError):
            envelope.verify([self.key(bundle)], 1)


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
class TestSigstore:
    @pytest.mark.parametrize("file", ["manifest.sigstore.json", "provenance.sigstore.json"])
    def test_verifies_both_bundles(self, bundle: Path, file: str) -> None:
        """With the key alone: no transparency log, no certificate."""
        done = run("node", VERIFIER, file, "manifest.json", "signer.pub", folder=bundle)
        assert (done.returncode, done.stdout.strip()) == (0, f"{file}: verified"), done.stderr

    @pytest.mark.parametrize("file", ["manifest.sigstore.json", "provenance.sigstore.json"])
    def test_refuses_another_key(self, bundle: Path, file: str) -> None:
        """Somebody else's bundle is not ours."""
        stranger = LocalKeySigner(ec.generate_private_key(ec.SECP256R1()))
        (bundle / "signer.pub").write_bytes(stranger.public_key_pem)
        assert run("node", VERIFIER, file, "manifest.json", "signer.pub", folder=bundle).returncode == 1

    def test_refuses_a_changed_manifest(self, bundle: Path) -> None:
        """One byte more."""
        (bundle / "manifest.json").write_bytes((bundle / "manifest.json").read_bytes() + b" ")
        done = run("node", VERIFIER, "manifest.sigstore.json", "manifest.json", "signer.pub", folder=bundle)
        assert done.returncode == 1


def test_the_statement_says_where_results_come_from(bundle: Path) -> None:
    """Suite, dataset, code and models by digest or name, as SLSA's provenance has it; its subject is the manifest."""
    envelope = Envelope.from_dict(envelope_of(bundle))
    statement = json.loads(envelope.payload)
    (subject,) = statement["subject"]
    digest = run("sha256sum", "manifest.json", folder=bundle).stdout.split()[0]
    assert (subject["name"], subject["digest"]) == ("manifest.json", {"sha256": digest})
    build = statement["predicate"]["buildDefinition"]
    found = {one["name"]: one for one in build["resolvedDependencies"]}
    assert found["suite"]["digest"]["sha256"] == "a" * 64
    assert found["dataset"]["annotations"] == {"etag": "0x1", "size": 15}
    assert found["code"]["digest"] == {"gitCommit": "c" * 40}
    assert found["model"]["uri"] == "urn:assay:model:gpt-4o-mini-2024-07-18"
    assert statement["predicate"]["runDetails"]["metadata"]["invocationId"] == "r1"


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found, title
    return found[1]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


RECIPES = [
    (language, block) for language in ("sh", "python") for block in blocks(section("With stock tools"), language)
]


def name_of(block: str) -> str:
    return next(tool for tool in ("node", "securesystemslib", "openssl", "sha256sum") if tool in block)


def followed(recipe: tuple[str, str], bundle: Path) -> subprocess.CompletedProcess[str]:
    """Runs a recipe of the page as a reader would, in the bundle's folder."""
    language, block = recipe
    command = ["bash", "-e", "-o", "pipefail", "-c"] if language == "sh" else [sys.executable, "-c"]
    environment = {**os.environ, "ASSAY": str(ROOT), "TMPDIR": str(bundle.parent)}
    return subprocess.run([*command, block], cwd=bundle, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
class TestPage:
    @pytest.fixture
    def bundle(self, tmp_path: Path) -> Path:
        return sealed_at(tmp_path / "my-bundle", LocalKeySigner(ec.generate_private_key(ec.SECP256R1())))

    def test_has_a_recipe_for_each_tool(self) -> None:
        """And says of cosign that it was not run."""
        assert sorted(name_of(block) for _, block in RECIPES) == [
            "node",
            "openssl",
            "openssl",
            "securesystemslib",
            "sha256sum",
        ]
        assert "**cosign** 3. **Not run yet**" in PAGE

    @pytest.mark.parametrize("recipe", RECIPES, ids=lambda one: name_of(one[1]))
    def test_every_recipe_accepts_a_good_bundle(self, bundle: Path, recipe: tuple[str, str]) -> None:
        """As it stands there."""
        done = followed(recipe, bundle)
        assert done.returncode == 0, done.stderr

    @pytest.mark.parametrize("recipe", RECIPES, ids=lambda one: name_of(one[1]))
    def test_every_recipe_refuses_a_spoiled_one(self, bundle: Path, recipe: tuple[str, str]) -> None:
        """The bundle of another signer with this key; for the recipe without a key, a changed file."""
        stranger = LocalKeySigner(ec.generate_private_key(ec.SECP256R1()))
        (bundle / "signer.pub").write_bytes(stranger.public_key_pem)
        (bundle / "results.csv").write_bytes(b"id,score\n1,0.6\n")
        assert followed(recipe, bundle).returncode != 0

    def test_the_librarys_recipe_ties_the_statement_to_the_manifest(self, bundle: Path) -> None:
        """A signed statement about another manifest proves nothing about this one."""
        (recipe,) = [one for one in RECIPES if one[0] == "python"]
        (bundle / "manifest.json").write_bytes((bundle / "manifest.json").read_bytes() + b" ")
        assert "AssertionError" in followed(recipe, bundle).stderr

    def test_the_fingerprint_is_the_one_that_assay_tells(self, bundle: Path) -> None:
        """Readers compare the two."""
        (command,) = blocks(section("Runbook"), "sh")
        told = followed(("sh", command), bundle).stdout.split()[0]
        assert f"sha256:{told}" in CliRunner().invoke(app, ["verify", str(bundle)]).stdout

    def test_every_command_of_assay_runs(self, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Those that need neither an address nor a vault."""
        home = bundle.parent
        shutil.copy(bundle / "signer.pub", home / "signer.pub")
        (home / "trusted-keys.pem").write_bytes(b"since 2026\n" + (bundle / "signer.pub").read_bytes())
        (home / "secret.txt").write_bytes(b"s" * 40 + b"\n")
        write_archive(Bundle("r1", "triage", bundle), home / "my-bundle.zip")
        monkeypatch.chdir(home)
        lines = [line for line in blocks(section("With Assay"), "console")[0].splitlines() if "://" not in line]
        assert len(lines) == 4
        for line in lines:
            if "--hmac-secret" in line:
                sealed_at(bundle, HmacSigner(b"s" * 40))
            done = CliRunner().invoke(app, line.split()[1:])
            assert done.exit_code == 0, (line, done.output)


def sealed_at(folder: Path, signer: LocalKeySigner | HmacSigner) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "results.csv").write_bytes(b"id,score\n1,0.5\n")
    asyncio.run(seal_folder(folder, Statement("r1", "2026-01-02T03:04:05Z", PROVENANCE), signer))
    return folder
