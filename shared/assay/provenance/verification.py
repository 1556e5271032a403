"""Verifies a bundle in a folder or a zip, without Azure and without trust in it. `assay verify` and the tests call it.

The manifest's paths are never opened: the files are listed, and the listing is compared with the manifest.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from assay.provenance import attestation
from assay.provenance.bundle import key_hint
from assay.provenance.files import BundleFiles, bundle_files
from assay.provenance.findings import Fault, Finding, finding
from assay.provenance.manifest import Artifact, Manifest, ManifestMalformed, read_manifest
from assay.provenance.signing import fingerprint, load_public_key, public_pem, signature_is_valid
from assay.provenance.trust import Trust
from assay.storage.bundle_names import (
    HMAC_NAME,
    HMAC_SEAL_NAMES,
    MANIFEST_NAME,
    MESSAGE_BUNDLE_NAME,
    PROVENANCE_NAME,
    PUBLIC_KEY_NAME,
    SEAL_NAMES,
    SIGNATURE_NAME,
)

MAX_MANIFEST_BYTES = 64 * 1024 * 1024
MAX_KEY_BYTES = 16 * 1024
_PIECE = 1024 * 1024

INTEGRITY_ONLY = (
    "The bundle is consistent with the public key it brings along. This proves integrity, not who signed it: "
    "compare the key's fingerprint with one from a place you trust, or give that key."
)
SIGNED_BY_GIVEN_KEY = "The bundle is signed with the key you gave."
SEALED_BY_CODE = (
    "The bundle was sealed by someone who knows the secret you gave. Whoever can verify it could have made it: "
    "it proves nothing to others."
)
NOT_PROVEN = "The bundle proves nothing: see the findings."


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found. `key_id` is the fingerprint of the key that was used, `meaning` says what the result proves.

    `manifest` is None when it could not be read. It and the `statement`, the attested in-toto statement, are only
    worth something when `ok` is true.
    """

    ok: bool
    findings: tuple[Finding, ...]
    meaning: str
    key_id: str | None = None
    manifest: Manifest | None = None
    statement: Mapping[str, Any] | None = None


def verify_bundle(place: Path, public_key_pem: bytes | None = None) -> Verification:
    """`verify_files` for a folder or a zip, with one trusted key or more in PEM, or none."""
    return verify_files(bundle_files(place), Trust.of([public_key_pem] if public_key_pem is not None else []))


def verify_files(files: BundleFiles, trust: Trust) -> Verification:
    """Checks key, signatures, provenance, manifest and every file of the bundle; findings name the file.

    A bad bundle gives findings and never an exception. Without trusted keys the bundle's own `signer.pub` is used.
    """
    return _Check(files, trust).result()


@dataclass
class _Check:
    files: BundleFiles
    trust: Trust
    found: list[Finding] = field(default_factory=list)

    def result(self) -> Verification:
        self.found.extend(self.files.findings)
        by_secret = HMAC_NAME in self.files.names and PUBLIC_KEY_NAME not in self.files.names
        content = self._read(MANIFEST_NAME, MAX_MANIFEST_BYTES)
        key_id, statement, meaning = self._code(content) if by_secret else self._signatures(content)
        manifest = self._manifest(content)
        if manifest is not None:
            self.found.extend(_compare(self.files, manifest, HMAC_SEAL_NAMES if by_secret else SEAL_NAMES))
        return Verification(
            ok=manifest is not None and not self.found,
            findings=tuple(self.found),
            meaning=NOT_PROVEN if self.found else meaning,
            key_id=key_id,
            manifest=manifest,
            statement=statement,
        )

    def _code(self, manifest: bytes | None) -> tuple[str | None, None, str]:
        """Checks the message authentication code of a bundle that is sealed with a secret."""
        code = self._read(HMAC_NAME, MAX_KEY_BYTES)
        secret = self.trust.secret
        if secret is None:
            self._add(HMAC_NAME, Fault.WRONG_KEY, "it is sealed with a secret, not signed; give the secret")
            return None, None, ""
        if manifest is not None and code is not None:
            expected = secret.code(manifest).encode() + b"\n"
            if not hmac.compare_digest(code, expected):
                self._add(HMAC_NAME, Fault.SIGNATURE_INVALID, f"it is not this secret's code of {MANIFEST_NAME}")
        return secret.key_id, None, SEALED_BY_CODE

    def _signatures(self, manifest: bytes | None) -> tuple[str | None, Mapping[str, Any] | None, str]:
        """Checks all three files with signatures."""
        key = self._key()
        signature = self._read(SIGNATURE_NAME, MAX_KEY_BYTES)
        message = self._read(MESSAGE_BUNDLE_NAME, MAX_KEY_BYTES)
        envelope = self._read(PROVENANCE_NAME, MAX_MANIFEST_BYTES)
        statement = None
        if key is not None and manifest is not None:
            if signature is not None and not signature_is_valid(key, signature, manifest):
                self._add(SIGNATURE_NAME, Fault.SIGNATURE_INVALID, _not_signed(MANIFEST_NAME))
            if message is not None:
                self._check_message(key, message, manifest)
            if envelope is not None:
                statement = self._check_provenance(key, envelope, manifest)
        meaning = SIGNED_BY_GIVEN_KEY if self.trust.keys else INTEGRITY_ONLY
        return fingerprint(key) if key else None, statement, meaning

    def _key(self) -> ec.EllipticCurvePublicKey | None:
        """The key to verify with: a trusted one when there are any. The bundle's own must be well-formed and agree."""
        trusted = self.trust.keys[0] if self.trust.keys else None
        pem = self._read(PUBLIC_KEY_NAME, MAX_KEY_BYTES)
        if pem is None:
            return trusted
        try:
            own = load_public_key(pem)
        except ValueError as error:
            self._add(PUBLIC_KEY_NAME, Fault.MALFORMED, f"{error}")
            return trusted
        if public_pem(own) != pem:
            self._add(PUBLIC_KEY_NAME, Fault.MALFORMED, "the file holds more than the key in its usual form")
        if trusted is None or self.trust.find(own):
            return own
        given = " or ".join(self.trust.fingerprints)
        self._add(
            PUBLIC_KEY_NAME, Fault.WRONG_KEY, f"the bundle brings {fingerprint(own)}; the key you gave is {given}"
        )
        return trusted

    def _check_message(self, key: ec.EllipticCurvePublicKey, content: bytes, manifest: bytes) -> None:
        try:
            digest, signature = attestation.read_message_bundle(content)
        except ValueError as error:
            self._add(MESSAGE_BUNDLE_NAME, Fault.MALFORMED, str(error))
            return
        if digest != hashlib.sha256(manifest).digest():
            self._add(MESSAGE_BUNDLE_NAME, Fault.WRONG_DIGEST, f"its digest is not that of {MANIFEST_NAME}")
        elif not signature_is_valid(key, signature, manifest):
            self._add(MESSAGE_BUNDLE_NAME, Fault.SIGNATURE_INVALID, _not_signed(MANIFEST_NAME))
        elif content != attestation.message_bundle(manifest, signature, key_hint(public_pem(key))):
            self._add(MESSAGE_BUNDLE_NAME, Fault.MALFORMED, "it holds more or other than a seal writes")

    def _check_provenance(
        self, key: ec.EllipticCurvePublicKey, content: bytes, manifest: bytes
    ) -> Mapping[str, Any] | None:
        try:
            payload, signature = attestation.read_envelope_bundle(content)
        except ValueError as error:
            self._add(PROVENANCE_NAME, Fault.MALFORMED, str(error))
            return None
        if not signature_is_valid(key, signature, attestation.pre_authentication(payload)):
            self._add(PROVENANCE_NAME, Fault.SIGNATURE_INVALID, _not_signed("the statement in it"))
        elif content != attestation.envelope_bundle(payload, signature, key_hint(public_pem(key))):
            self._add(PROVENANCE_NAME, Fault.MALFORMED, "it holds more or other than a seal writes")
        elif problem := _statement_problem(payload, manifest):
            self._add(PROVENANCE_NAME, Fault.WRONG_DIGEST, problem)
        else:
            said: Mapping[str, Any] = json.loads(payload)
            return said
        return None

    def _manifest(self, content: bytes | None) -> Manifest | None:
        """The manifest, whether its signature holds or not, so that a changed file can still be named."""
        if content is None:
            return None
        try:
            return read_manifest(content)
        except ManifestMalformed as error:
            self._add(MANIFEST_NAME, Fault.MALFORMED, str(error))
            return None

    def _read(self, name: str, limit: int) -> bytes | None:
        if name not in self.files.names:
            self._add(name, Fault.MISSING, "the bundle has no such plain file")
            return None
        try:
            with self.files.open(name) as file:
                content = file.read(limit + 1)
        except OSError as error:
            self._add(name, Fault.UNREADABLE, f"{error.strerror}")
            return None
        if len(content) > limit:
            self._add(name, Fault.MALFORMED, f"more than {limit} bytes; not what a seal holds")
            return None
        return content

    def _add(self, path: str, fault: Fault, message: str) -> None:
        self.found.append(finding(path, fault, message))


def _not_signed(what: str) -> str:
    return f"it is not this key's signature of {what}: one of the two was changed, or another key signed"


def _statement_problem(payload: bytes, manifest: bytes) -> str | None:
    """Why a statement is not one about this manifest."""
    try:
        said = json.loads(payload)
        kind, predicate, subjects = said["_type"], said["predicateType"], said["subject"]
        digests = [subject["digest"]["sha256"] for subject in subjects]
    except (ValueError, RecursionError, KeyError, TypeError):
        return "its payload is no in-toto statement"
    if (kind, predicate) != (attestation.STATEMENT_TYPE, attestation.PREDICATE_TYPE):
        return f"it is no {attestation.PREDICATE_TYPE} statement"
    if digests != [hashlib.sha256(manifest).hexdigest()]:
        return f"it is about another {MANIFEST_NAME}"
    return None


def _compare(files: BundleFiles, manifest: Manifest, seal: frozenset[str]) -> Iterator[Finding]:
    listed = {artifact.path: artifact for artifact in manifest.artifacts}
    for path in sorted((files.names | listed.keys()) - seal):
        if path not in listed:
            yield finding(path, Fault.UNEXPECTED, "the manifest does not list it")
        elif path not in files.names:
            yield finding(path, Fault.MISSING, "the manifest lists it and the bundle has no such plain file")
        else:
            yield from _check_file(files, listed[path])


def _check_file(files: BundleFiles, artifact: Artifact) -> Iterator[Finding]:
    """Compares size and digest; reads no byte more than the manifest says there are, and one."""
    digest = hashlib.sha256()
    try:
        size = files.size(artifact.path)
        if size == artifact.size:
            with files.open(artifact.path) as file:
                size = _digested(file, artifact.size, digest)
    except OSError as error:
        yield finding(artifact.path, Fault.UNREADABLE, f"{error.strerror}")
        return
    if size != artifact.size:
        yield finding(artifact.path, Fault.WRONG_SIZE, f"{size} bytes; the manifest says {artifact.size}")
    elif digest.hexdigest() != artifact.sha256:
        message = f"SHA-256 {digest.hexdigest()}; the manifest says {artifact.sha256}"
        yield finding(artifact.path, Fault.WRONG_DIGEST, message)


def _digested(file: Any, most: int, digest: Any) -> int:
    """Feeds the digest with the file's bytes, at most one more than there should be; gives their number."""
    size = 0
    while size <= most and (piece := file.read(min(_PIECE, most + 1 - size))):
        digest.update(piece)
        size += len(piece)
    return size
