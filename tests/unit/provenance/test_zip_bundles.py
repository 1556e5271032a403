"""Bundles in a zip: verified as they lie there, whatever a hostile zip says; nothing is ever unpacked to disk."""

import asyncio
import io
import os
import stat
import zipfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.provenance.bundle import Statement, seal_folder
from assay.provenance.findings import Fault
from assay.provenance.signing import LocalKeySigner
from assay.provenance.verification import Verification, verify_bundle

SIGNER = LocalKeySigner(ec.generate_private_key(ec.SECP256R1()))
ARTIFACTS = {"results.csv": b"id,score\n1,0.5\n", "plots/box.svg": b"<svg/>"}


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a good bundle."""
    folder = tmp_path_factory.mktemp("bundle")
    for path, content in ARTIFACTS.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    asyncio.run(seal_folder(folder, Statement("r1", "2026-01-02T03:04:05Z", {}), SIGNER))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def zipped(place: Path, files: dict[str, bytes], top: str = "") -> Path:
    file = place / "bundle.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(top + name, content)
    return file


def added(file: Path, name: str | zipfile.ZipInfo, content: bytes) -> Path:
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file


class Pipe(io.RawIOBase):
    """Takes bytes and cannot go back."""

    written = b""

    def writable(self) -> bool:
        return True

    def write(self, piece) -> int:
        self.written += bytes(piece)
        return len(piece)


def faults(verification: Verification) -> set[tuple[str, Fault]]:
    return {(finding.path, finding.fault) for finding in verification.findings}


@pytest.mark.parametrize("top", ["", "results-main/"])
def test_a_good_zip_verifies(tmp_path, sealed, top):
    """Also with everything in one folder, as in archives that Git hosts make."""
    result = verify_bundle(zipped(tmp_path, sealed, top), SIGNER.public_key_pem)
    assert result.ok and result.manifest.run == "r1"


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../outside", "C:\\\\x", "a//b", "\x1b[2J"])
def test_an_unsafe_name_is_found(tmp_path, sealed, name):
    """And nothing is written anywhere."""
    before = set(tmp_path.parent.rglob("*"))
    result = verify_bundle(added(zipped(tmp_path, sealed), name, b"x"))
    assert not result.ok and Fault.UNSAFE_NAME in {fault for _, fault in faults(result)}
    assert set(tmp_path.parent.rglob("*")) - before == {tmp_path / "bundle.zip"}


def test_a_symbolic_link_is_found(tmp_path, sealed):
    """A zip can hold links; unpacking tools follow them."""
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    assert ("link", Fault.NOT_A_FILE) in faults(verify_bundle(added(zipped(tmp_path, sealed), link, b"/etc/passwd")))


def test_a_name_that_is_there_twice_is_found(tmp_path, sealed):
    """Tools differ in which of the two they take."""
    with pytest.warns(UserWarning, match="Duplicate name"):
        file = added(zipped(tmp_path, sealed), "results.csv", b"other")
    result = verify_bundle(file)
    assert ("results.csv", Fault.UNEXPECTED) in faults(result) and not result.ok


def test_a_folder_with_the_name_of_a_file_is_found(tmp_path, sealed):
    """Tools that unpack it would make the one or the other."""
    result = verify_bundle(added(zipped(tmp_path, sealed), "results.csv/", b""))
    assert Fault.UNEXPECTED in {fault for _, fault in faults(result)} and not result.ok


def test_more_bytes_than_the_manifest_says_are_not_unpacked(tmp_path, sealed):
    """A bomb of zeros in place of an artifact: the size alone refuses it."""
    result = verify_bundle(zipped(tmp_path, {**sealed, "results.csv": bytes(50_000_000)}))
    assert faults(result) == {("results.csv", Fault.WRONG_SIZE)}


def test_a_seal_file_that_is_a_bomb_is_not_unpacked_to_its_end(tmp_path, sealed):
    """Reading stops at what a seal may have."""
    result = verify_bundle(zipped(tmp_path, {**sealed, "signer.pub": bytes(50_000_000)}))
    assert ("signer.pub", Fault.MALFORMED) in faults(result)


def test_a_zip_that_claims_to_be_huge_is_refused_unread(tmp_path, sealed, monkeypatch):
    """By what its directory says."""
    monkeypatch.setattr("assay.provenance.files.MOST_UNPACKED_BYTES", 100)
    assert ("bundle.zip", Fault.UNREADABLE) in faults(verify_bundle(zipped(tmp_path, sealed)))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_method_that_unpacks_more_than_asked_is_refused_unread(tmp_path, sealed, method):
    """A few bytes of it become gigabytes in memory, wherever reading stops."""
    file = zipped(tmp_path, {name: sealed[name] for name in sealed if name != "manifest.json"})
    with zipfile.ZipFile(file, "a", method) as archive:
        archive.writestr("manifest.json", sealed["manifest.json"])
    result = verify_bundle(file)
    assert ("manifest.json", Fault.UNREADABLE) in faults(result) and not result.ok


def test_an_encrypted_file_is_found(tmp_path, sealed):
    """It cannot be read, and so not be proven."""
    file = zipped(tmp_path, sealed)
    content = bytearray(file.read_bytes())
    entry = content.rindex(b"results.csv") - 46
    content[entry + 8] |= 1
    file.write_bytes(content)
    assert ("results.csv", Fault.UNREADABLE) in faults(verify_bundle(file))


@pytest.mark.parametrize("at", [0, 1, len(ARTIFACTS), -1])
def test_bytes_that_belong_to_no_file_are_found(tmp_path, sealed, at):
    """Before, between or behind the files: the directory passes over them, another tool may not."""
    file = tmp_path / "bundle.zip"
    with file.open("wb") as raw, zipfile.ZipFile(raw, "w") as archive:
        for number, (name, content) in enumerate([*sealed.items(), ("", b"")]):
            if number == at % (len(sealed) + 1):
                raw.write(b"<script>")
                archive.start_dir = raw.tell()
            if name:
                archive.writestr(name, content)
    assert faults(verify_bundle(file, SIGNER.public_key_pem)) == {("bundle.zip", Fault.UNEXPECTED)}


@pytest.mark.parametrize("place", ["before", "after"])
def test_bytes_around_a_zip_are_found(tmp_path, sealed, place):
    """As in a program that unpacks itself: its directory then counts from elsewhere."""
    file = zipped(tmp_path, sealed)
    whole = file.read_bytes()
    file.write_bytes(b"#!/bin/sh\n" + whole if place == "before" else whole + b"more")
    assert faults(verify_bundle(file, SIGNER.public_key_pem)) == {("bundle.zip", Fault.UNEXPECTED)}


def test_a_zip_written_to_a_pipe_and_one_with_a_comment_verify(tmp_path, sealed):
    """As Git hosts make them: sizes stand behind each file, and the commit stands in the comment."""
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = b"0123456789abcdef"
        for name, content in sealed.items():
            archive.writestr(name, content)
    file = tmp_path / "bundle.zip"
    file.write_bytes(pipe.written)
    assert archive.infolist()[0].flag_bits & 0x8
    assert verify_bundle(file, SIGNER.public_key_pem).ok


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.6, 0.99])
def test_a_truncated_zip_is_no_zip(tmp_path, sealed, keep):
    """What arrived in part says so."""
    file = zipped(tmp_path, sealed)
    os.truncate(file, int(file.stat().st_size * keep))
    result = verify_bundle(file)
    assert not result.ok and ("bundle.zip", Fault.UNREADABLE) in faults(result)
    assert any("not a whole zip file" in finding.message for finding in result.findings)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_flipped_byte_never_raises_and_never_changes_what_verifies(sealed, tmp_path_factory, data):
    """Fields that nobody reads may change; content and names may not."""
    file = zipped(tmp_path_factory.mktemp("flipped"), sealed)
    content = bytearray(file.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    file.write_bytes(content)
    result = verify_bundle(file, SIGNER.public_key_pem)
    if result.ok:
        with zipfile.ZipFile(file) as archive:
            assert {name: archive.read(name) for name in archive.namelist()} == sealed
