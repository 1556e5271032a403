"""`assay verify`: folder, zip and keyring; what it prints, and its exit codes."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner, Result

from assay.cli.main import app
from assay.provenance.bundle import Statement, seal_folder
from assay.provenance.signing import HmacSigner, LocalKeySigner

SIGNER = LocalKeySigner(ec.generate_private_key(ec.SECP256R1()))
SECRET = b"0123456789abcdef0123456789abcdef"
PROVENANCE = {"dataset": {"file": "tickets\x1b[2J.csv", "sha256": "b" * 64}}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "results.csv").write_bytes(b"id,score\n1,0.5\n")
    asyncio.run(seal_folder(folder, Statement("r1", "2026-01-02T03:04:05Z", PROVENANCE), SIGNER))
    return folder


def verify(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["verify", *map(str, arguments)])


def test_a_zip_verifies_with_a_keyring(bundle, tmp_path):
    """And the signed provenance is told, made safe for a terminal."""
    keyring = tmp_path / "keyring.pem"
    keyring.write_bytes(b"# since 2026\n" + SIGNER.public_key_pem)
    shutil.make_archive(str(tmp_path / "zipped"), "zip", bundle)
    done = verify(tmp_path / "zipped.zip", "--keyring", keyring)
    assert done.exit_code == 0, done.output
    assert "signature verified" in done.output and "signed with the key you gave" in done.output
    assert r"dataset   tickets\x1b[2J.csv bbbb" in done.output


def test_a_changed_bundle_fails(bundle):
    """With exit code 1 and the file's name, and no provenance in the JSON."""
    (bundle / "results.csv").write_bytes(b"id,score\n1,0.9\n")
    done = verify(bundle, "--json")
    said = json.loads(done.stdout)
    assert done.exit_code == 1
    assert (said["ok"], said["statement"], said["findings"][0]["path"]) == (False, None, "results.csv")


def test_a_sealed_bundle_needs_its_secret(bundle, tmp_path):
    """A line end after the secret in its file does not count."""
    asyncio.run(seal_folder(bundle, Statement("r1", "2026-01-02T03:04:05Z", {}), HmacSigner(SECRET)))
    (tmp_path / "secret").write_bytes(SECRET + b"\n")
    done = verify(bundle, "--hmac-secret", tmp_path / "secret")
    assert done.exit_code == 0 and "proves nothing to others" in done.output
    assert verify(bundle).exit_code == 1
