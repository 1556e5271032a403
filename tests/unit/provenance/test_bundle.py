"""Sealing: the same inputs give the same manifest, and nothing is in a bundle that the manifest does not list."""

import base64
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from assay.errors import NameRefused
from assay.provenance.bundle import Statement, seal_folder
from assay.provenance.manifest import read_manifest
from assay.provenance.signing import LocalKeySigner
from assay.provenance.verification import verify_bundle
from assay.storage.bundle_names import SEAL_NAMES

ARTIFACTS = {"results.csv": b"id,score\n1,0.5\n", "plots/box.svg": b"<svg/>", "empty.txt": b""}
STATEMENT = Statement("r1", "2026-01-02T03:04:05Z", {"seed": 7, "models": ["m"]})


@pytest.fixture
def signer() -> LocalKeySigner:
    return LocalKeySigner(ec.generate_private_key(ec.SECP256R1()))


def filled(folder: Path) -> Path:
    """A folder with the artifacts in it."""
    for path, content in ARTIFACTS.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


async def test_adds_manifest_signature_and_key(tmp_path, signer):
    """The folder holds exactly the artifacts and the files of the seal, and verifies."""
    manifest = await seal_folder(filled(tmp_path), STATEMENT, signer)
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {*ARTIFACTS, *SEAL_NAMES}
    assert verify_bundle(tmp_path, signer.public_key_pem).ok
    assert read_manifest((tmp_path / "manifest.json").read_bytes()) == manifest


async def test_lists_each_artifact_by_path_with_digest_size_and_type(tmp_path, signer):
    """The entries are in the order of their paths."""
    manifest = await seal_folder(filled(tmp_path), STATEMENT, signer)
    assert [artifact.path for artifact in manifest.artifacts] == ["empty.txt", "plots/box.svg", "results.csv"]
    assert manifest.artifacts[2].sha256 == hashlib.sha256(ARTIFACTS["results.csv"]).hexdigest()
    assert (manifest.artifacts[2].size, manifest.artifacts[2].media_type) == (15, "text/csv")
    assert (manifest.run, manifest.created, manifest.provenance["seed"]) == ("r1", STATEMENT.created, 7)


async def test_every_artifact_has_its_level(tmp_path, signer):
    """Its own where it is said, or else the bundle's."""
    statement = Statement("r1", "2026-01-02T03:04:05Z", {}, "confidential", {"results.csv": "public"})
    manifest = await seal_folder(filled(tmp_path), statement, signer)
    assert {one.path: one.level for one in manifest.artifacts} == {
        "empty.txt": "confidential",
        "plots/box.svg": "confidential",
        "results.csv": "public",
    }


async def test_twice_gives_the_same_manifest_bytes(tmp_path, signer):
    """In the same folder or another, and with another key."""
    other = LocalKeySigner(ec.generate_private_key(ec.SECP256R1()))
    one, two = filled(tmp_path / "a"), filled(tmp_path / "b")
    await seal_folder(one, STATEMENT, signer)
    first = (one / "manifest.json").read_bytes()
    await seal_folder(one, STATEMENT, signer)
    await seal_folder(two, STATEMENT, other)
    assert first == (one / "manifest.json").read_bytes() == (two / "manifest.json").read_bytes()
    assert verify_bundle(one, signer.public_key_pem).ok


async def test_the_attestation_says_when_the_run_was_finished_and_the_manifest_does_not(tmp_path, signer):
    """In ISO 8601. The bytes of the manifest are the same whenever it is sealed."""
    times = ["2026-01-02T04:05:06+00:00", "2026-01-03T04:05:06+00:00", None]
    found = []
    for time in times:
        await seal_folder(filled(tmp_path), replace(STATEMENT, finished=time), signer)
        assert verify_bundle(tmp_path, signer.public_key_pem).ok
        envelope = json.loads((tmp_path / "provenance.sigstore.json").read_bytes())["dsseEnvelope"]
        said = json.loads(base64.b64decode(envelope["payload"]))["predicate"]["runDetails"]["metadata"]
        found.append((said.get("finishedOn"), (tmp_path / "manifest.json").read_bytes()))
    assert [time for time, _ in found] == times and len({manifest for _, manifest in found}) == 1


async def test_replaces_an_older_seal(tmp_path, signer):
    """After a change the folder can be sealed again."""
    await seal_folder(filled(tmp_path), STATEMENT, signer)
    (tmp_path / "results.csv").write_bytes(b"new")
    assert not verify_bundle(tmp_path).ok
    await seal_folder(tmp_path, STATEMENT, signer)
    assert verify_bundle(tmp_path).ok


async def test_refuses_symbolic_links(tmp_path, signer):
    """What a link points at is not part of the bundle."""
    (tmp_path / "link").symlink_to("/etc/hostname")
    with pytest.raises(NameRefused, match="not a plain file"):
        await seal_folder(tmp_path, STATEMENT, signer)


async def test_refuses_an_unsafe_name_before_it_writes_anything(tmp_path, signer):
    """A name that another system reads as a path or a drive must not be signed."""
    (tmp_path / "a\\b").write_bytes(b"")
    with pytest.raises(NameRefused, match="cannot be in a bundle"):
        await seal_folder(tmp_path, STATEMENT, signer)
    assert [path.name for path in tmp_path.iterdir()] == ["a\\b"]
