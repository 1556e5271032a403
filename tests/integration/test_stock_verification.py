"""Tools that know nothing of Assay verify a bundle: OpenSSL, securesystemslib, Sigstore's verifier, in-toto's reading.

The commands are those of docs/verification.md.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

from assay.provenance.bundle import Statement, seal_folder
from assay.provenance.signing import LocalKeySigner

ROOT = Path(__file__).resolve().parent.parent.parent
VERIFIER = ROOT / "tools" / "checks" / "verify_bundle.mjs"
PROVENANCE = {
    "suite": {"name": "triage", "sha256": "a" * 64},
    "dataset": {"file": "tickets.csv", "sha256": "b" * 64, "etag": "0x1", "size": 15},
    "models": {"gpt-4o-mini-2024-07-18": 3},
    "versions": {"assay": "0.1.0", "git_sha": "c" * 40},
    "seed": 7,
}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / "results.csv").write_bytes(b"id,score\n1,0.5\n")
    signer = LocalKeySigner(ec.generate_private_key(ec.SECP256R1()))
    asyncio.run(seal_folder(tmp_path, Statement("r1", "2026-01-02T03:04:05Z", PROVENANCE), signer))
    return tmp_path


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
