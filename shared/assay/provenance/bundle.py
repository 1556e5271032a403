"""Seals a bundle: writes manifest, signatures and public key beside the artifacts. Called when a run is finished."""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.errors import NameRefused
from assay.provenance import attestation
from assay.provenance.manifest import Artifact, Manifest, build_manifest, canonical_bytes, describe, shown
from assay.provenance.signing import HmacSigner, Signer, fingerprint, load_public_key
from assay.storage.bundle_names import (
    ALL_SEAL_NAMES,
    HMAC_NAME,
    MANIFEST_NAME,
    MESSAGE_BUNDLE_NAME,
    PROVENANCE_NAME,
    PUBLIC_KEY_NAME,
    SIGNATURE_NAME,
)
from assay.suite.levels import Level


@dataclass(frozen=True, slots=True)
class Statement:
    """What the seal says of a bundle beside its files. `created` is an ISO 8601 time, given by the caller.

    `level` is the security level of every artifact that `levels` does not say it of, by path. `finished` is such a
    time too, in the attestation alone: a manifest is the same whenever it is sealed.
    """

    run: str
    created: str
    provenance: Mapping[str, Any]
    level: Level = "internal"
    levels: Mapping[str, Level] = field(default_factory=dict)
    finished: str | None = None


async def seal_folder(folder: Path, statement: Statement, signer: Signer | HmacSigner) -> Manifest:
    """Seals all files that are in `folder` and returns the manifest; an older seal is replaced.

    The same files and statement give the same manifest, whoever signs it. Raises NameRefused for an unsafe name, a
    symbolic link, or anything else that is not a plain file.
    """
    artifacts = {
        path: _described(folder, path, statement.levels.get(path, statement.level)) for path in _paths_in(folder)
    }
    manifest = build_manifest(statement.run, statement.created, statement.provenance, artifacts)
    payload = canonical_bytes(manifest)
    if isinstance(signer, HmacSigner):
        seal = _code(payload, signer)
    else:
        said = attestation.statement(manifest, payload, statement.finished)
        seal = await _signatures(payload, said, signer)
    for name in ALL_SEAL_NAMES - seal.keys():
        (folder / name).unlink(missing_ok=True)
    for name, content in seal.items():  # the manifest comes last
        (folder / name).write_bytes(content)
    return manifest


def key_hint(public_key_pem: bytes) -> str:
    """How a Sigstore bundle names its key: the Base64 SHA-256 of the key's SubjectPublicKeyInfo."""
    digest = fingerprint(load_public_key(public_key_pem)).removeprefix("sha256:")
    return base64.b64encode(bytes.fromhex(digest)).decode()


def _code(payload: bytes, signer: HmacSigner) -> dict[str, bytes]:
    return {HMAC_NAME: signer.code(payload).encode() + b"\n", MANIFEST_NAME: payload}


async def _signatures(payload: bytes, said: bytes, signer: Signer) -> dict[str, bytes]:
    """The files of the seal: one signature of the manifest in two forms, one of what is said of it."""
    hint = key_hint(signer.public_key_pem)
    signature = await signer.sign(payload)
    attested = await signer.sign(attestation.pre_authentication(said))
    return {
        PUBLIC_KEY_NAME: signer.public_key_pem,
        SIGNATURE_NAME: signature,
        MESSAGE_BUNDLE_NAME: attestation.message_bundle(payload, signature, hint),
        PROVENANCE_NAME: attestation.envelope_bundle(said, attested, hint),
        MANIFEST_NAME: payload,
    }


def _paths_in(folder: Path) -> Iterator[str]:
    """The relative paths of all files in the folder but the seal's own."""
    for entry in sorted(folder.rglob("*")):
        path = entry.relative_to(folder).as_posix()
        if entry.is_symlink() or not (entry.is_file() or entry.is_dir()):
            raise NameRefused(f"{folder}: {shown(path)} is not a plain file. Replace it by the file itself.")
        if entry.is_file() and path not in ALL_SEAL_NAMES:
            yield path


def _described(folder: Path, path: str, level: Level) -> Artifact:
    with (folder / path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return describe(path, digest, file.tell(), level)
