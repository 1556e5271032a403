"""Seals a bundle: writes manifest, signature and public key beside the artifacts. Called when a run is finished."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.errors import NameRefused
from assay.provenance.manifest import (
    MANIFEST_NAME,
    PUBLIC_KEY_NAME,
    SEAL_NAMES,
    SIGNATURE_NAME,
    Artifact,
    Manifest,
    build_manifest,
    canonical_bytes,
    describe,
    shown,
)
from assay.provenance.signing import Signer


@dataclass(frozen=True, slots=True)
class Statement:
    """What the seal says of a bundle beside its files. `created` is an ISO 8601 time, given by the caller."""

    run: str
    created: str
    provenance: Mapping[str, Any]


async def seal_folder(folder: Path, statement: Statement, signer: Signer) -> Manifest:
    """Seals all files that are in `folder` and returns the manifest; an older seal is replaced.

    The same files and statement give the same manifest, whoever signs it. Raises NameRefused for an unsafe name, a
    symbolic link, or anything else that is not a plain file.
    """
    artifacts = {path: _described(folder, path) for path in _paths_in(folder)}
    manifest = build_manifest(statement.run, statement.created, statement.provenance, artifacts)
    payload = canonical_bytes(manifest)
    (folder / PUBLIC_KEY_NAME).write_bytes(signer.public_key_pem)
    (folder / SIGNATURE_NAME).write_bytes(await signer.sign(payload))
    (folder / MANIFEST_NAME).write_bytes(payload)
    return manifest


def _paths_in(folder: Path) -> Iterator[str]:
    """The relative paths of all files in the folder but the seal's own."""
    for entry in sorted(folder.rglob("*")):
        path = entry.relative_to(folder).as_posix()
        if entry.is_symlink() or not (entry.is_file() or entry.is_dir()):
            raise NameRefused(f"{folder}: {shown(path)} is not a plain file. Replace it by the file itself.")
        if entry.is_file() and path not in SEAL_NAMES:
            yield path


def _described(folder: Path, path: str) -> Artifact:
    with (folder / path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return describe(path, digest, file.tell())
