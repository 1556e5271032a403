"""Sealing: the same inputs give the same manifest, and nothing is in a bundle that the manifest does not list."""

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from assay.errors import NameRefused, UserError
from assay.provenance.bundle import Statement, seal, seal_artifacts, seal_folder
from assay.provenance.manifest import read_manifest
from assay.provenance.signing import LocalKeySigner, load_public_key, signature_is_valid
from assay.provenance.verification import verify_bundle

ARTIFACTS = {"results.csv": b"id,score\n1,0.5\n", "plots/box.svg": b"<svg/>", "empty.txt": b""}
STATEMENT = Statement("r1", "2026-01-02T03:04:05Z", {"seed": 7, "models": ["m"]})


@pytest.fixture
def signer() -> LocalKeySigner:
    return LocalKeySigner(ec.generate_private_key(ec.SECP256R1()))


class TestSeal:
    async def test_writes_artifacts_manifest_signature_and_key(self, tmp_path, signer):
        """The folder holds exactly the artifacts and the three files of the seal, and verifies."""
        manifest = await seal(tmp_path / "b", ARTIFACTS, STATEMENT, signer)
        files = {path.relative_to(tmp_path / "b").as_posix() for path in (tmp_path / "b").rglob("*") if path.is_file()}
        assert files == {*ARTIFACTS, "manifest.json", "manifest.json.sig", "signer.pub"}
        assert verify_bundle(tmp_path / "b", signer.public_key_pem).ok
        assert read_manifest((tmp_path / "b" / "manifest.json").read_bytes()) == manifest

    async def test_lists_each_artifact_by_path_with_digest_size_and_type(self, tmp_path, signer):
        """The entries are in the order of their paths."""
        manifest = await seal(tmp_path, ARTIFACTS, STATEMENT, signer)
        assert [artifact.path for artifact in manifest.artifacts] == ["empty.txt", "plots/box.svg", "results.csv"]
        assert manifest.artifacts[2].sha256 == hashlib.sha256(ARTIFACTS["results.csv"]).hexdigest()
        assert (manifest.artifacts[2].size, manifest.artifacts[2].media_type) == (15, "text/csv")
        assert (manifest.run, manifest.created, manifest.provenance["seed"]) == ("r1", STATEMENT.created, 7)

    async def test_twice_gives_the_same_manifest_bytes(self, tmp_path, signer):
        """Into the same folder or another, in another order and with another key."""
        other = LocalKeySigner(ec.generate_private_key(ec.SECP256R1()))
        await seal(tmp_path / "a", ARTIFACTS, STATEMENT, signer)
        first = (tmp_path / "a" / "manifest.json").read_bytes()
        await seal(tmp_path / "a", dict(reversed(ARTIFACTS.items())), STATEMENT, signer)
        await seal(tmp_path / "b", ARTIFACTS, STATEMENT, other)
        assert (
            first == (tmp_path / "a" / "manifest.json").read_bytes() == (tmp_path / "b" / "manifest.json").read_bytes()
        )
        assert verify_bundle(tmp_path / "a", signer.public_key_pem).ok

    async def test_refuses_a_folder_with_other_files(self, tmp_path, signer):
        """A leftover of another run would make the bundle fail its verification."""
        (tmp_path / "old.csv").write_bytes(b"old")
        with pytest.raises(UserError, match=r"old\.csv"):
            await seal(tmp_path, ARTIFACTS, STATEMENT, signer)

    async def test_refuses_an_unsafe_path_before_it_writes_anything(self, tmp_path, signer):
        """No artifact leaves the folder."""
        with pytest.raises(NameRefused, match="within the bundle"):
            await seal(tmp_path / "b", {"ok.txt": b"", "../evil.txt": b""}, STATEMENT, signer)
        assert list(tmp_path.iterdir()) == []


class TestSealFolder:
    async def test_agrees_with_sealing_the_same_bytes_from_memory(self, tmp_path, signer):
        """Files written by others are described as artifacts given in memory are."""
        manifest = await seal(tmp_path / "a", ARTIFACTS, STATEMENT, signer)
        for path, content in ARTIFACTS.items():
            (tmp_path / "b" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "b" / path).write_bytes(content)
        assert await seal_folder(tmp_path / "b", STATEMENT, signer) == manifest
        assert verify_bundle(tmp_path / "b").ok

    async def test_replaces_an_older_seal(self, tmp_path, signer):
        """After a change the folder can be sealed again."""
        await seal(tmp_path, ARTIFACTS, STATEMENT, signer)
        (tmp_path / "results.csv").write_bytes(b"new")
        assert not verify_bundle(tmp_path).ok
        await seal_folder(tmp_path, STATEMENT, signer)
        assert verify_bundle(tmp_path).ok

    async def test_refuses_symbolic_links(self, tmp_path, signer):
        """What a link points at is not part of the bundle."""
        (tmp_path / "link").symlink_to("/etc/hostname")
        with pytest.raises(NameRefused, match="not a plain file"):
            await seal_folder(tmp_path, STATEMENT, signer)


class TestSealArtifacts:
    async def test_gives_the_whole_bundle_for_any_place(self, signer):
        """For blobs: the same manifest and a signature that holds, without a folder."""
        files = await seal_artifacts(ARTIFACTS, STATEMENT, signer)
        key = load_public_key(files["signer.pub"])
        assert {path: files[path] for path in ARTIFACTS} == ARTIFACTS
        assert signature_is_valid(key, files["manifest.json.sig"], files["manifest.json"])
