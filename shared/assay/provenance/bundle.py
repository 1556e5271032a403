"""Seals a bundle: writes manifest, signature and public key beside the artifacts. Called when a run is finished."""

import hashlib
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.errors import NameRefused, UserError
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
    describe_digest,
    shown,
)
from assay.provenance.signing import Signer


@dataclass(frozen=True, slots=True)
class Statement:
    """What the seal says of a bundle beside its files. `created` is an ISO 8601 time, given by the caller."""

    run: str
    created: str
    provenance: Mapping[str, Any]


async def seal_manifest(manifest: Manifest, signer: Signer) -> dict[str, bytes]:
    """The three files of the seal by name, for a bundle that lies anywhere. `manifest.json` is the same every time."""
    payload = canonical_bytes(manifest)
    return {
        PUBLIC_KEY_NAME: signer.public_key_pem,
        SIGNATURE_NAME: await signer.sign(payload),
        MANIFEST_NAME: payload,
    }


async def seal_artifacts(artifacts: Mapping[str, bytes], statement: Statement, signer: Signer) -> dict[str, bytes]:
    """The whole bundle by path: the artifacts and the three files of the seal. Raises NameRefused as `seal` does."""
    described = {path: describe(path, content) for path, content in artifacts.items()}
    return {**artifacts, **await seal_manifest(_manifest_of(described, statement), signer)}


async def seal(folder: Path, artifacts: Mapping[str, bytes], statement: Statement, signer: Signer) -> Manifest:
    """Writes the artifacts and the seal into `folder`, which is made when absent, and returns the manifest.

    A second call with the same artifacts writes the same manifest. Raises NameRefused for an unsafe path and UserError
    when the folder holds other files: a bundle has nothing that is not in its manifest.
    """
    described = {path: describe(path, content) for path, content in artifacts.items()}
    manifest = _manifest_of(described, statement)
    _refuse_strangers(folder, manifest)
    _write_all(folder, artifacts)
    _write_all(folder, await seal_manifest(manifest, signer))
    return manifest


async def seal_folder(folder: Path, statement: Statement, signer: Signer) -> Manifest:
    """Seals all files that are in `folder` and returns the manifest; an older seal is replaced.

    Raises NameRefused for an unsafe name, a symbolic link, or anything else that is not a plain file.
    """
    described = {path: _describe_file(folder, path) for path in _paths_in(folder)}
    manifest = _manifest_of(described, statement)
    _write_all(folder, await seal_manifest(manifest, signer))
    return manifest


def _manifest_of(artifacts: Mapping[str, Artifact], statement: Statement) -> Manifest:
    return build_manifest(statement.run, statement.created, statement.provenance, artifacts)


def _refuse_strangers(folder: Path, manifest: Manifest) -> None:
    strangers = sorted(set(_paths_in(folder)) - {artifact.path for artifact in manifest.artifacts})
    if strangers:
        raise UserError(f"{folder}: holds {shown(strangers[0])}, which is not in the bundle. Use an empty folder.")


def _paths_in(folder: Path) -> Iterator[str]:
    """The relative paths of all files in the folder but the seal's own."""
    for entry in sorted(folder.rglob("*")):
        path = entry.relative_to(folder).as_posix()
        if entry.is_symlink() or not (entry.is_file() or entry.is_dir()):
            raise NameRefused(f"{folder}: {shown(path)} is not a plain file. Replace it by the file itself.")
        if entry.is_file() and path not in SEAL_NAMES:
            yield path


def _describe_file(folder: Path, path: str) -> Artifact:
    with (folder / path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return describe_digest(path, digest, file.tell())


def _write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    for path, content in files.items():
        _write(folder / path, content)


def _write(path: Path, content: bytes) -> None:
    """Replaces the file in one step: a reader sees the old content or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
