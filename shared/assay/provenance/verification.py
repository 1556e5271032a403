"""Verifies a bundle in a folder, without Azure and without trust in the bundle. `assay verify` and the tests call it.

The manifest's paths are never opened: the folder is listed, and the listing is compared with the manifest.
"""

import hashlib
import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from assay.errors import UserError
from assay.provenance.manifest import (
    MANIFEST_NAME,
    PUBLIC_KEY_NAME,
    SEAL_NAMES,
    SIGNATURE_NAME,
    Artifact,
    Manifest,
    ManifestMalformed,
    read_manifest,
    shown,
)
from assay.provenance.signing import fingerprint, load_public_key, public_pem, signature_is_valid

MAX_MANIFEST_BYTES = 64 * 1024 * 1024
MAX_KEY_BYTES = 16 * 1024

INTEGRITY_ONLY = (
    "The bundle is consistent with the public key it brings along. This proves integrity, not who signed it: "
    "compare the key's fingerprint with one from a place you trust, or give that key."
)
SIGNED_BY_GIVEN_KEY = "The bundle is signed with the key you gave."
NOT_PROVEN = "The bundle proves nothing: see the findings."


class Fault(StrEnum):
    """What can be wrong with a file of a bundle."""

    MISSING = "missing"
    UNEXPECTED = "unexpected"
    WRONG_SIZE = "wrong size"
    WRONG_DIGEST = "wrong digest"
    SIGNATURE_INVALID = "signature invalid"
    WRONG_KEY = "wrong key"
    MALFORMED = "malformed"
    NOT_A_FILE = "not a plain file"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `path` is escaped for a terminal; `message` is a sentence with what was expected."""

    path: str
    fault: Fault
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.fault}: {self.message}"


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found. `key_id` is the fingerprint of the key that was used, `meaning` says what the result proves.

    `manifest` is None when it could not be read. It is only worth something when `ok` is true.
    """

    ok: bool
    findings: tuple[Finding, ...]
    meaning: str
    key_id: str | None = None
    manifest: Manifest | None = None


def verify_bundle(folder: Path, public_key_pem: bytes | None = None) -> Verification:
    """Checks key, signature, manifest and every file of the bundle; findings name the file.

    A bad bundle gives findings and never an exception. Without a key the bundle's own `signer.pub` is used.
    Raises UserError only for a given key that is not a P-256 public key in PEM form.
    """
    trusted = _given_key(public_key_pem)
    listing, findings = _list_folder(folder)
    key = _find_key(folder, listing, trusted, findings)
    manifest = _find_manifest(folder, listing, key, findings)
    if manifest is not None:
        findings.extend(_compare(folder, listing, manifest))
    meaning = INTEGRITY_ONLY if trusted is None else SIGNED_BY_GIVEN_KEY
    return Verification(
        ok=manifest is not None and not findings,
        findings=tuple(findings),
        meaning=NOT_PROVEN if findings else meaning,
        key_id=fingerprint(key) if key else None,
        manifest=manifest,
    )


def _given_key(pem: bytes | None) -> ec.EllipticCurvePublicKey | None:
    if pem is None:
        return None
    try:
        return load_public_key(pem)
    except ValueError as error:
        raise UserError(f"The given key cannot be used: {error}.") from error


def _list_folder(folder: Path) -> tuple[frozenset[str], list[Finding]]:
    """The relative paths of all plain files; everything that is neither file nor folder is a finding."""
    files: set[str] = set()
    findings: list[Finding] = []
    unreadable: list[OSError] = []
    for parent, folders, names in os.walk(folder, onerror=unreadable.append, followlinks=False):
        folders.sort()
        for name in sorted([*folders, *names]):
            entry = Path(parent, name)
            path = entry.relative_to(folder).as_posix()
            kind = _kind_of(entry)
            if kind is Fault.NOT_A_FILE:
                findings.append(_finding(path, kind, "a symbolic link or device; expected a plain file"))
            elif kind is None and name in names:
                files.add(path)
    findings.extend(_unreadable(folder, error) for error in unreadable)
    return frozenset(files), findings


def _kind_of(entry: Path) -> Fault | None:
    try:
        mode = entry.lstat().st_mode
    except OSError:
        return None  # gone since it was listed: it is then missing, or unreadable when opened
    return None if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else Fault.NOT_A_FILE


def _unreadable(folder: Path, error: OSError) -> Finding:
    where = Path(str(error.filename)) if error.filename else folder
    path = where.relative_to(folder).as_posix() if where.is_relative_to(folder) else "."
    return _finding(path, Fault.UNREADABLE, f"the folder cannot be read: {error.strerror}")


def _finding(path: str, fault: Fault, message: str) -> Finding:
    return Finding(path if path.isprintable() else shown(path), fault, message)


def _find_key(
    folder: Path, listing: frozenset[str], trusted: ec.EllipticCurvePublicKey | None, findings: list[Finding]
) -> ec.EllipticCurvePublicKey | None:
    """The key to verify with: the trusted one when there is one. The bundle's own must be well-formed and agree."""
    pem = _read(folder, listing, PUBLIC_KEY_NAME, MAX_KEY_BYTES, findings)
    if pem is None:
        return trusted
    try:
        own = load_public_key(pem)
    except ValueError as error:
        findings.append(_finding(PUBLIC_KEY_NAME, Fault.MALFORMED, f"{error}"))
        return trusted
    if public_pem(own) != pem:
        findings.append(
            _finding(PUBLIC_KEY_NAME, Fault.MALFORMED, "the file holds more than the key in its usual form")
        )
    if trusted is not None and fingerprint(own) != fingerprint(trusted):
        message = f"the bundle brings {fingerprint(own)}; the key you gave is {fingerprint(trusted)}"
        findings.append(_finding(PUBLIC_KEY_NAME, Fault.WRONG_KEY, message))
    return trusted or own


def _find_manifest(
    folder: Path, listing: frozenset[str], key: ec.EllipticCurvePublicKey | None, findings: list[Finding]
) -> Manifest | None:
    """The manifest, whether its signature holds or not, so that a changed file can still be named."""
    content = _read(folder, listing, MANIFEST_NAME, MAX_MANIFEST_BYTES, findings)
    signature = _read(folder, listing, SIGNATURE_NAME, MAX_KEY_BYTES, findings)
    if content is None:
        return None
    if key and signature is not None and not signature_is_valid(key, signature, content):
        message = (
            f"it is not this key's signature of {MANIFEST_NAME}: one of the two was changed, or another key signed"
        )
        findings.append(_finding(SIGNATURE_NAME, Fault.SIGNATURE_INVALID, message))
    try:
        return read_manifest(content)
    except ManifestMalformed as error:
        findings.append(_finding(MANIFEST_NAME, Fault.MALFORMED, str(error)))
        return None


def _read(folder: Path, listing: frozenset[str], name: str, limit: int, findings: list[Finding]) -> bytes | None:
    if name not in listing:
        findings.append(_finding(name, Fault.MISSING, "the bundle has no such plain file"))
        return None
    try:
        with _open(folder / name) as file:
            content = file.read(limit + 1)
    except OSError as error:
        findings.append(_finding(name, Fault.UNREADABLE, f"{error.strerror}"))
        return None
    if len(content) > limit:
        findings.append(_finding(name, Fault.MALFORMED, f"more than {limit} bytes; not what a seal holds"))
        return None
    return content


def _open(path: Path) -> io.BufferedReader:
    """Opens a plain file only: a link or pipe put there after the listing is refused and never waited for."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(0, "not a plain file")
    return file


def _compare(folder: Path, listing: frozenset[str], manifest: Manifest) -> Iterator[Finding]:
    listed = {artifact.path: artifact for artifact in manifest.artifacts}
    for path in sorted((listing | listed.keys()) - SEAL_NAMES):
        if path not in listed:
            yield _finding(path, Fault.UNEXPECTED, "the manifest does not list it")
        elif path not in listing:
            yield _finding(path, Fault.MISSING, "the manifest lists it and the bundle has no such plain file")
        else:
            yield from _check_file(folder, listed[path])


def _check_file(folder: Path, artifact: Artifact) -> Iterator[Finding]:
    try:
        with _open(folder / artifact.path) as file:
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        yield _finding(artifact.path, Fault.UNREADABLE, f"{error.strerror}")
        return
    if size != artifact.size:
        yield _finding(artifact.path, Fault.WRONG_SIZE, f"{size} bytes; the manifest says {artifact.size}")
    elif digest != artifact.sha256:
        yield _finding(artifact.path, Fault.WRONG_DIGEST, f"SHA-256 {digest}; the manifest says {artifact.sha256}")
