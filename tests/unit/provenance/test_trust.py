"""Whom a verifier trusts: any key of a keyring, or a shared secret that proves nothing to others."""

import asyncio
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from assay.errors import UserError
from assay.provenance.bundle import Statement, seal_folder
from assay.provenance.files import FolderFiles
from assay.provenance.findings import Fault
from assay.provenance.signing import HmacSigner, LocalKeySigner
from assay.provenance.trust import Trust
from assay.provenance.verification import verify_files

OLD, NEW, STRANGER = (LocalKeySigner(ec.generate_private_key(ec.SECP256R1())) for _ in range(3))
SECRET = b"0123456789abcdef0123456789abcdef"
STATEMENT = Statement("r1", "2026-01-02T03:04:05Z", {})


def sealed(folder: Path, signer: LocalKeySigner | HmacSigner) -> FolderFiles:
    (folder / "results.csv").write_bytes(b"id,score\n")
    asyncio.run(seal_folder(folder, STATEMENT, signer))
    return FolderFiles(folder)


class TestKeyring:
    KEYRING = b"# until March 2026\n" + OLD.public_key_pem + b"\n# since then\n" + NEW.public_key_pem

    @pytest.mark.parametrize("signer", [OLD, NEW], ids=["old", "new"])
    def test_any_key_of_it_may_have_signed(self, tmp_path, signer):
        """Bundles from before a rotation still verify."""
        result = verify_files(sealed(tmp_path, signer), Trust.of([self.KEYRING]))
        assert result.ok and result.key_id == signer.key_id
        assert result.meaning == "The bundle is signed with the key you gave."

    def test_another_key_may_not(self, tmp_path):
        """The finding names both sides."""
        result = verify_files(sealed(tmp_path, STRANGER), Trust.of([self.KEYRING]))
        (first, *_) = result.findings
        assert (first.path, first.fault) == ("signer.pub", Fault.WRONG_KEY)
        assert all(one.key_id in first.message for one in (OLD, NEW, STRANGER))

    @pytest.mark.parametrize("text", [b"", b"no key", OLD.public_key_pem.replace(b"M", b"N", 1)])
    def test_a_text_without_a_key_is_the_users_error(self, text):
        """An empty keyring must not mean trust in anybody."""
        with pytest.raises(UserError, match="given key"):
            Trust.of([text])


class TestSecret:
    def test_seals_and_verifies_without_a_key_pair(self, tmp_path):
        """And says that it proves nothing to others."""
        files = sealed(tmp_path, HmacSigner(SECRET))
        result = verify_files(files, Trust.of([], SECRET))
        assert result.ok and "proves nothing to others" in result.meaning
        assert files.names == {"results.csv", "manifest.json", "manifest.json.hmac"}

    def test_another_secret_does_not_verify(self, tmp_path):
        """As any forger's."""
        result = verify_files(sealed(tmp_path, HmacSigner(SECRET)), Trust.of([], SECRET[::-1]))
        assert {(one.path, one.fault) for one in result.findings} == {("manifest.json.hmac", Fault.SIGNATURE_INVALID)}

    def test_without_the_secret_nothing_is_proven(self, tmp_path):
        """Not even integrity: anybody could have changed file and manifest."""
        result = verify_files(sealed(tmp_path, HmacSigner(SECRET)), Trust())
        assert not result.ok and "give the secret" in result.findings[0].message

    def test_is_no_way_around_a_trusted_key(self, tmp_path):
        """A bundle whose signatures were taken away and replaced by a code is not signed."""
        result = verify_files(sealed(tmp_path, HmacSigner(SECRET)), Trust.of([OLD.public_key_pem]))
        assert not result.ok

    def test_leaves_no_file_of_another_seal_behind(self, tmp_path):
        """A bundle sealed again, in another way, has one seal."""
        sealed(tmp_path, OLD)
        sealed(tmp_path, HmacSigner(SECRET))
        assert verify_files(sealed(tmp_path, NEW), Trust.of([NEW.public_key_pem])).ok

    def test_a_short_secret_is_refused(self):
        """It could be guessed."""
        with pytest.raises(UserError, match="expected 32 or more"):
            HmacSigner(b"short")

    def test_its_name_does_not_tell_it(self):
        """Two secrets have two names."""
        assert HmacSigner(SECRET).key_id != HmacSigner(SECRET[::-1]).key_id
        assert SECRET.decode() not in HmacSigner(SECRET).key_id
