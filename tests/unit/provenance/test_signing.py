"""The local signing key: its file, its mode, and signatures that others can verify."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from assay.errors import UserError
from assay.provenance.signing import LocalKeySigner, load_public_key, signature_is_valid

posix_only = pytest.mark.skipif(os.name != "posix", reason="file modes are a POSIX matter")


def private_pem(key, encryption=None) -> bytes:
    chosen = encryption or serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, chosen)


def write_private(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


class TestLoadOrCreate:
    def test_second_call_gives_the_same_key(self, tmp_path):
        """The key is created once; the folder too."""
        path = tmp_path / "keys" / "signing.pem"
        first, second = LocalKeySigner.load_or_create(path), LocalKeySigner.load_or_create(path)
        assert first.key_id == second.key_id and first.key_id.startswith("sha256:")
        assert first.public_key_pem == second.public_key_pem

    @posix_only
    def test_only_the_owner_can_read_the_new_key(self, tmp_path):
        """Mode 0600, whatever the umask lets through."""
        path, before = tmp_path / "signing.pem", os.umask(0)
        try:
            LocalKeySigner.load_or_create(path)
        finally:
            os.umask(before)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")

    def test_concurrent_creators_agree_on_one_key(self, tmp_path):
        """The first writer wins, nobody reads half a key, and no draft stays behind."""
        path = tmp_path / "signing.pem"
        with ThreadPoolExecutor(8) as pool:
            signers = list(pool.map(LocalKeySigner.load_or_create, [path] * 8))
        assert len({signer.key_id for signer in signers}) == 1
        assert list(tmp_path.iterdir()) == [path]

    def test_a_key_that_appears_during_creation_wins(self, tmp_path, monkeypatch):
        """Between looking and linking another process may have been quicker."""
        path = tmp_path / "signing.pem"
        other = LocalKeySigner.load_or_create(path)
        monkeypatch.setattr(Path, "exists", lambda self: False)
        assert LocalKeySigner.load_or_create(path).key_id == other.key_id

    @posix_only
    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610])
    def test_a_key_that_others_can_reach_is_refused_with_what_to_do(self, tmp_path, mode):
        """A key that others may have read proves nothing."""
        path = tmp_path / "signing.pem"
        LocalKeySigner.load_or_create(path)
        path.chmod(mode)
        with pytest.raises(UserError, match=f"mode {mode:04o}.*chmod 600"):
            LocalKeySigner.load_or_create(path)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "not a private key"),
            (b"not a key", "not a private key"),
            (private_pem(ec.generate_private_key(ec.SECP384R1())), "EC secp384r1 private key"),
            (private_pem(ed25519.Ed25519PrivateKey.generate()), "private key"),
            (
                private_pem(ec.generate_private_key(ec.SECP256R1()), serialization.BestAvailableEncryption(b"x")),
                "encrypted",
            ),
        ],
        ids=["empty", "text", "other curve", "other kind", "encrypted"],
    )
    def test_other_keys_are_refused_and_left_alone(self, tmp_path, content, message):
        """The error says what was found; the file is not overwritten."""
        path = write_private(tmp_path / "signing.pem", content)
        with pytest.raises(UserError, match=message):
            LocalKeySigner.load_or_create(path)
        assert path.read_bytes() == content

    def test_a_folder_in_the_way_is_a_clear_error(self, tmp_path):
        """System errors are told as the user's to fix."""
        with pytest.raises(UserError, match="cannot be read or created"):
            LocalKeySigner.load_or_create(tmp_path)


class TestSignatures:
    async def test_hold_for_the_payload_and_the_key_only(self, tmp_path):
        """Another payload, another key or a cut signature is not valid."""
        signer, other = (LocalKeySigner.load_or_create(tmp_path / name) for name in ("one", "two"))
        signature, key = await signer.sign(b"payload"), load_public_key(signer.public_key_pem)
        assert signature_is_valid(key, signature, b"payload")
        assert not signature_is_valid(key, signature, b"Payload")
        assert not signature_is_valid(load_public_key(other.public_key_pem), signature, b"payload")
        assert not signature_is_valid(key, signature[:-1], b"payload")
        assert not signature_is_valid(key, b"", b"payload")

    @pytest.mark.parametrize(
        "pem", [b"", b"x", private_pem(ec.generate_private_key(ec.SECP256R1()))], ids=["empty", "text", "private"]
    )
    def test_what_is_not_a_public_key_is_refused(self, pem):
        """A private key is not taken for a public one."""
        with pytest.raises(ValueError, match="not a public key"):
            load_public_key(pem)
