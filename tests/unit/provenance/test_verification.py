"""Verification: any change of any file is found and named, nothing outside the folder is read, and nothing raises."""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.errors import UserError
from assay.provenance import attestation
from assay.provenance.bundle import Statement, key_hint, seal_folder
from assay.provenance.findings import Fault
from assay.provenance.signing import LocalKeySigner
from assay.provenance.verification import Verification, verify_bundle

SIGNER = LocalKeySigner(ec.generate_private_key(ec.SECP256R1()))
ARTIFACTS = {"results.csv": b"id,score\n1,0.5\n", "plots/box.svg": b"<svg/>", "report.md": b"# Report\n"}
SEAL = ("manifest.json", "manifest.json.sig", "manifest.sigstore.json", "provenance.sigstore.json", "signer.pub")
STATEMENT = Statement("r1", "2026-01-02T03:04:05Z", {"seed": 7})
FILES = (*ARTIFACTS, *SEAL)


def make_bundle(folder: Path) -> Path:
    for path, content in ARTIFACTS.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    asyncio.run(seal_folder(folder, STATEMENT, SIGNER))
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle")


@pytest.fixture(scope="module")
def shared_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For tests that restore what they change."""
    return make_bundle(tmp_path_factory.mktemp("shared") / "bundle")


def faults(verification: Verification) -> set[tuple[str, Fault]]:
    return {(finding.path, finding.fault) for finding in verification.findings}


def names(verification: Verification, file: str) -> bool:
    """Whether a finding is about the file: its own finding, or that of the signature over the manifest."""
    return any(finding.path == file or file in finding.message for finding in verification.findings)


def sign_manifest(bundle: Path, content: bytes) -> None:
    """Puts a validly signed manifest of any content into the bundle: what a hostile signer could do."""
    signature, hint = asyncio.run(SIGNER.sign(content)), key_hint(SIGNER.public_key_pem)
    subject = {"name": "manifest.json", "digest": {"sha256": hashlib.sha256(content).hexdigest()}}
    kinds = {"_type": attestation.STATEMENT_TYPE, "predicateType": attestation.PREDICATE_TYPE}
    said = json.dumps({**kinds, "subject": [subject]}).encode()
    attested = asyncio.run(SIGNER.sign(attestation.pre_authentication(said)))
    (bundle / "manifest.json").write_bytes(content)
    (bundle / "manifest.json.sig").write_bytes(signature)
    (bundle / "manifest.sigstore.json").write_bytes(attestation.message_bundle(content, signature, hint))
    (bundle / "provenance.sigstore.json").write_bytes(attestation.envelope_bundle(said, attested, hint))


class TestAGoodBundle:
    def test_verifies_with_the_given_key(self, bundle):
        """The key is from a place the verifier trusts: this proves who signed."""
        result = verify_bundle(bundle, SIGNER.public_key_pem)
        assert result.ok and result.findings == () and result.key_id == SIGNER.key_id
        assert result.meaning == "The bundle is signed with the key you gave."
        assert result.manifest.run == "r1"

    def test_verifies_with_its_own_key_but_says_that_this_does_not_prove_who_signed(self, bundle):
        """Anybody can sign with a key of his own and bring it along."""
        result = verify_bundle(bundle)
        assert result.ok and "not who signed" in result.meaning

    @pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
    def test_openssl_agrees(self, bundle):
        """The signature can be checked without Assay; a changed manifest is refused there too."""
        command = [
            "openssl",
            "dgst",
            "-sha256",
            "-verify",
            "signer.pub",
            "-signature",
            "manifest.json.sig",
            "manifest.json",
        ]
        good = subprocess.run(command, cwd=bundle, capture_output=True, text=True, check=False)
        (bundle / "manifest.json").write_bytes((bundle / "manifest.json").read_bytes() + b" ")
        bad = subprocess.run(command, cwd=bundle, capture_output=True, text=True, check=False)
        assert (good.returncode, good.stdout.strip()) == (0, "Verified OK")
        assert bad.returncode != 0


class TestChangedFiles:
    @pytest.fixture(params=FILES)
    def pristine(self, request, shared_bundle) -> Iterator[tuple[Path, str]]:
        path = shared_bundle / request.param
        content = path.read_bytes()
        yield path, request.param
        path.write_bytes(content)

    @pytest.mark.parametrize("key", [None, SIGNER.public_key_pem], ids=["own key", "given key"])
    def test_every_single_flipped_byte_is_found_and_named(self, pristine, shared_bundle, key):
        """Each byte of each file, the manifest, the signature and the key included."""
        path, name = pristine
        content = path.read_bytes()
        for at in range(len(content)):
            path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
            result = verify_bundle(shared_bundle, key)
            assert not result.ok and names(result, name), at

    @settings(max_examples=150, deadline=None)
    @given(st.sampled_from(FILES), st.data())
    def test_any_other_change_is_found_and_named(self, shared_bundle, name, data):
        """Bits flipped, bytes cut off, put in or put on."""
        path = shared_bundle / name
        content = path.read_bytes()
        start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(content))] * 2)))
        changed = content[:start] + data.draw(st.binary(max_size=8)) + content[end:]
        try:
            path.write_bytes(changed)
            result = verify_bundle(shared_bundle)
        finally:
            path.write_bytes(content)
        assert result.ok == (changed == content)
        assert result.ok or names(result, name)

    @pytest.mark.parametrize("name", FILES)
    def test_a_missing_file_is_named(self, bundle, name):
        """Artifact, manifest, signature or key."""
        (bundle / name).unlink()
        assert (name, Fault.MISSING) in faults(verify_bundle(bundle, SIGNER.public_key_pem))
        assert not verify_bundle(bundle).ok

    @pytest.mark.parametrize("name", FILES)
    def test_a_truncated_file_is_named(self, bundle, name):
        """The last byte is gone."""
        (bundle / name).write_bytes((bundle / name).read_bytes()[:-1])
        assert names(verify_bundle(bundle), name)

    def test_size_and_digest_are_told_apart(self, bundle):
        """The finding says what does not agree."""
        (bundle / "report.md").write_bytes(b"# Retort\n")
        (bundle / "results.csv").write_bytes(b"short")
        assert faults(verify_bundle(bundle)) == {("report.md", Fault.WRONG_DIGEST), ("results.csv", Fault.WRONG_SIZE)}

    def test_a_finding_reads_as_one_line(self, bundle):
        """File, fault, and what was found and expected."""
        (bundle / "results.csv").write_bytes(b"short")
        (finding,) = verify_bundle(bundle).findings
        assert str(finding) == "results.csv: wrong size: 5 bytes; the manifest says 15"

    def test_an_extra_file_is_named(self, bundle):
        """Also in a folder of its own, hidden, or with the name of a seal file in a folder."""
        extra = ["extra.txt", ".hidden", "plots/more.svg", "new/deep/file", "plots/manifest.json"]
        for name in extra:
            (bundle / name).parent.mkdir(parents=True, exist_ok=True)
            (bundle / name).write_bytes(b"x")
        assert faults(verify_bundle(bundle)) == {(name, Fault.UNEXPECTED) for name in extra}

    def test_a_name_with_control_characters_is_escaped(self, bundle):
        """A hostile bundle cannot write to the terminal."""
        (bundle / "\x1b[2J").write_bytes(b"x")
        (finding,) = verify_bundle(bundle).findings
        assert finding.path == r"'\x1b[2J'"


class TestKeys:
    def test_a_bundle_signed_again_by_somebody_else_fails_with_the_given_key(self, bundle):
        """With its own key it is consistent, which is why that proves integrity only."""
        other = LocalKeySigner(ec.generate_private_key(ec.SECP256R1()))
        asyncio.run(seal_folder(bundle, STATEMENT, other))
        result = verify_bundle(bundle, SIGNER.public_key_pem)
        assert verify_bundle(bundle).ok
        signed = {"manifest.json.sig", "manifest.sigstore.json", "provenance.sigstore.json"}
        expected = {("signer.pub", Fault.WRONG_KEY), *((name, Fault.SIGNATURE_INVALID) for name in signed)}
        assert faults(result) == expected
        assert result.key_id == SIGNER.key_id and other.key_id in result.findings[0].message

    def test_another_curve_is_refused(self, bundle):
        """The seal is P-256; a weaker key cannot be put in its place."""
        weak = LocalKeySigner(ec.generate_private_key(ec.SECP224R1()))
        (bundle / "signer.pub").write_bytes(weak.public_key_pem)
        (finding,) = verify_bundle(bundle).findings
        assert (finding.path, finding.fault) == ("signer.pub", Fault.MALFORMED) and "secp224r1" in finding.message

    def test_a_given_key_that_is_none_is_the_users_error(self, bundle):
        """The bundle may be fine; the argument is not."""
        with pytest.raises(UserError, match="given key"):
            verify_bundle(bundle, b"not a key")


class TestTricks:
    @pytest.mark.parametrize("path", ["../outside.txt", "/etc/hostname", "plots/../../outside.txt", "C:x", "a\\\\b"])
    def test_a_signed_manifest_with_a_path_that_leaves_the_folder_is_malformed(self, bundle, path):
        """Even a valid signature does not make Assay look outside."""
        (bundle.parent / "outside.txt").write_bytes(b"# Report\n")
        content = (bundle / "manifest.json").read_bytes().replace(b'"path":"report.md"', f'"path":"{path}"'.encode())
        sign_manifest(bundle, content)
        (finding,) = verify_bundle(bundle, SIGNER.public_key_pem).findings
        assert (finding.path, finding.fault) == ("manifest.json", Fault.MALFORMED) and "unsafe" in finding.message

    @pytest.mark.parametrize(
        "content",
        [b"", b"{}", b"[1]", b"\xff\xfe", b"null", b'{"version":2}', pytest.param(b'{"a":' * 50_000, id="nesting")],
    )
    def test_a_signed_manifest_that_is_none_is_malformed(self, bundle, content):
        """Signed nonsense is nonsense."""
        sign_manifest(bundle, content)
        assert faults(verify_bundle(bundle)) == {("manifest.json", Fault.MALFORMED)}

    @pytest.mark.parametrize("name", FILES)
    def test_a_symbolic_link_is_not_followed(self, bundle, name):
        """Even when it leads to the right content."""
        (bundle / name).rename(bundle.parent / "moved")
        (bundle / name).symlink_to(bundle.parent / "moved")
        assert (name, Fault.NOT_A_FILE) in faults(verify_bundle(bundle))

    def test_a_linked_folder_is_not_entered(self, bundle):
        """Its files are missing, the link is named."""
        (bundle / "plots").rename(bundle.parent / "plots")
        (bundle / "plots").symlink_to(bundle.parent / "plots", target_is_directory=True)
        assert faults(verify_bundle(bundle)) == {("plots", Fault.NOT_A_FILE), ("plots/box.svg", Fault.MISSING)}

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
    @pytest.mark.parametrize("name", ["report.md", "manifest.json", "other"])
    def test_a_named_pipe_is_not_waited_for(self, bundle, name):
        """Reading it would block for ever."""
        (bundle / name).unlink(missing_ok=True)
        os.mkfifo(bundle / name)
        assert (name, Fault.NOT_A_FILE) in faults(verify_bundle(bundle))

    def test_a_folder_in_place_of_a_file_is_a_missing_file(self, bundle):
        """A folder is never an artifact."""
        (bundle / "manifest.json").unlink()
        (bundle / "manifest.json").mkdir()
        assert ("manifest.json", Fault.MISSING) in faults(verify_bundle(bundle))

    def test_an_oversized_key_or_signature_is_not_read_to_its_end(self, bundle):
        """The seal's files are small; a large one is refused."""
        (bundle / "manifest.json.sig").write_bytes(bytes(100_000))
        assert ("manifest.json.sig", Fault.MALFORMED) in faults(verify_bundle(bundle))

    def test_a_folder_that_is_not_there_or_empty_is_a_finding(self, tmp_path):
        """No exception, and never ok."""
        assert (".", Fault.UNREADABLE) in faults(verify_bundle(tmp_path / "nothing"))
        assert faults(verify_bundle(tmp_path)) == {(name, Fault.MISSING) for name in SEAL}

    @settings(max_examples=60, deadline=None)
    @given(st.fixed_dictionaries({name: st.binary(max_size=64) for name in SEAL}), st.booleans())
    def test_any_bytes_in_the_seal_give_findings(self, shared_bundle, contents, bring_key):
        """Arbitrary manifest, signature and key files never raise and never pass."""
        before = {name: (shared_bundle / name).read_bytes() for name in SEAL}
        try:
            for name, content in contents.items():
                (shared_bundle / name).write_bytes(content)
            result = verify_bundle(shared_bundle, SIGNER.public_key_pem if bring_key else None)
        finally:
            for name, content in before.items():
                (shared_bundle / name).write_bytes(content)
        assert not result.ok and result.findings
