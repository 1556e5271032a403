"""Fetches a bundle by its address for verification: a zip, or a folder whose manifest says what to fetch."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import httpx2

from assay.errors import ServiceError, UserError
from assay.provenance.manifest import Artifact, ManifestMalformed, read_manifest
from assay.storage.bundle_names import ALL_SEAL_NAMES, MANIFEST_NAME

MOST_ZIP_BYTES = 16 * 1024**3
MOST_SEAL_BYTES = 64 * 1024**2
_ADDRESS = re.compile(r"https://.+|http://(127\.0\.0\.1|localhost|\[::1\])([:/].*)?")
_TIMEOUT_SECONDS = 60.0


def fetch_bundle(address: str, folder: Path) -> Path:
    """Puts the bundle at an address into a folder, and gives the place to verify: that folder, or the zip in it.

    Reads no more than the manifest says; a query, such as a shared access signature, goes with every request. What is
    not there is left out: verification finds it. Raises UserError for an address that is none, ServiceError for one
    that does not answer.
    """
    if not _ADDRESS.fullmatch(address):
        raise UserError(f"{_shown(address)} cannot be fetched; expected an https:// address")
    try:
        with httpx2.Client(timeout=_TIMEOUT_SECONDS, follow_redirects=True) as client:
            return _fetch(client, address, folder)
    except httpx2.HTTPError as error:
        raise ServiceError(f"{_shown(address)} cannot be fetched: {type(error).__name__}") from error


def _fetch(client: httpx2.Client, address: str, folder: Path) -> Path:
    if urlsplit(address).path.endswith(".zip"):
        file = folder / "bundle.zip"
        if not _download(client, address, file, MOST_ZIP_BYTES):
            raise UserError(f"there is no file at {_shown(address)}")
        return file
    bundle = folder / "bundle"
    bundle.mkdir()
    for name in sorted(ALL_SEAL_NAMES):
        _download(client, _beside(address, name), bundle / name, MOST_SEAL_BYTES)
    for artifact in _listed(bundle / MANIFEST_NAME, address):
        target = bundle / artifact.path
        with suppress(OSError):  # a name that this disk cannot hold; verification misses the file
            target.parent.mkdir(parents=True, exist_ok=True)
            _download(client, _beside(address, artifact.path), target, artifact.size + 1)
    return bundle


def _listed(manifest: Path, address: str) -> Iterator[Artifact]:
    if not manifest.exists():
        raise UserError(f"there is no {MANIFEST_NAME} at {_shown(address)}; expected a bundle's folder, or a zip")
    try:
        yield from read_manifest(manifest.read_bytes()).artifacts
    except ManifestMalformed:
        return  # verification says so


def _download(client: httpx2.Client, address: str, target: Path, most: int) -> bool:
    """Whether there was something; at most so many bytes of it are kept."""
    with client.stream("GET", address) as response:
        if response.status_code == 404:
            return False
        if response.is_error:
            raise ServiceError(f"{_shown(address)} answers HTTP {response.status_code}")
        _keep(response.iter_bytes(), target, most)
    return True


def _keep(pieces: Iterator[bytes], target: Path, most: int) -> None:
    with target.open("wb") as file:
        for piece in pieces:
            file.write(piece[: most - file.tell()])
            if file.tell() >= most:
                return


def _beside(address: str, name: str) -> str:
    parts = urlsplit(address)
    path = parts.path.removesuffix(MANIFEST_NAME).rstrip("/")
    return urlunsplit(parts._replace(path=f"{path}/{quote(name)}", fragment=""))


def _shown(address: str) -> str:
    """The address without its query, which may be a signature."""
    return address.partition("?")[0][:300]
