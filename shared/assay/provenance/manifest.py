"""The manifest: every artifact of a bundle with its digest, and the provenance of the run, as canonical JSON.

Canonical (RFC 8785) means that the same content always has the same bytes, so that the bytes can be signed.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

import rfc8785
from pydantic import AfterValidator, Field, JsonValue, ValidationError, model_validator

from assay.errors import CheckFailed, NameRefused, UserError
from assay.field_problems import field_path, field_problem
from assay.records import Record
from assay.storage.bundle_names import ALL_SEAL_NAMES
from assay.storage.media_types import media_type
from assay.suite.levels import Level

MAX_PATH_LENGTH = 1024  # what a blob name may have

_MAX_EXACT_INTEGER = 2**53 - 1
_LONGEST_SHOWN = 200


def path_fault(path: str) -> str | None:
    """Why `path` may not name an artifact, or None when it may: relative, with `/`, within the bundle on any system."""
    if not path or len(path) > MAX_PATH_LENGTH:
        return f"its length is {len(path)}; expected 1 to {MAX_PATH_LENGTH}"
    if not path.isprintable() or "\\" in path or ":" in path:
        return "it has a backslash, a colon or an unprintable character"
    if path.startswith("/"):
        return "it is absolute; expected a path within the bundle"
    if any(part in ("", ".", "..") for part in path.split("/")):
        return "it has an empty part, '.' or '..'; expected a path within the bundle"
    if path.casefold() in ALL_SEAL_NAMES:
        return "the name belongs to the seal itself"
    return None


def _safe_path(path: str) -> str:
    fault = path_fault(path)
    if fault:
        raise ValueError(f"the path {shown(path)} is unsafe: {fault}")
    return path


def shown(text: str) -> str:
    """Text of an untrusted bundle, made safe for a terminal: quoted, escaped and cut."""
    return ascii(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "...")


class Artifact(Record):
    """A file of the bundle. `path` is relative with `/`, `size` is in bytes, `sha256` in lower-case hex."""

    path: Annotated[str, AfterValidator(_safe_path)]
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0, le=_MAX_EXACT_INTEGER)
    media_type: str = Field(min_length=1, max_length=200)
    level: Level = "internal"


class Manifest(Record):
    """What a bundle holds and where it comes from. `created` is a given ISO 8601 time, so that it can be repeated."""

    version: Literal[1] = 1
    run: str = Field(min_length=1)
    created: str = Field(min_length=1)
    provenance: dict[str, JsonValue] = Field(default_factory=dict)
    artifacts: tuple[Artifact, ...] = ()

    @model_validator(mode="after")
    def _artifacts_are_in_order(self) -> Self:
        paths = [artifact.path for artifact in self.artifacts]
        if paths != sorted(set(paths)):
            raise ValueError("artifacts are not sorted by path, or a path is there twice")
        return self


class ManifestMalformed(CheckFailed):
    """Bytes that are not a manifest of this version in canonical form."""


def describe(path: str, sha256: str, size: int, level: Level = "internal") -> Artifact:
    """The manifest's entry for a file of `size` bytes with this digest. Raises NameRefused for an unsafe path."""
    fault = path_fault(path)
    if fault:
        raise NameRefused(f"artifact {shown(path)} cannot be in a bundle: {fault}. Rename it.")
    return Artifact(path=path, sha256=sha256, size=size, media_type=media_type(path), level=level)


def build_manifest(
    run: str, created: str, provenance: Mapping[str, Any], artifacts: Mapping[str, Artifact]
) -> Manifest:
    """The manifest of these artifacts, sorted by path; the same values give an equal manifest.

    Raises NameRefused for paths that no folder can hold side by side, and UserError for provenance that is not JSON.
    """
    _refuse_clashes(sorted(artifacts))
    in_order = tuple(artifacts[path] for path in sorted(artifacts))
    try:
        return Manifest(run=run, created=created, provenance=dict(provenance), artifacts=in_order)
    except ValidationError as error:
        raise UserError(f"the manifest cannot hold {_first_fault(error)}. Expected JSON values only.") from error


def _refuse_clashes(paths: Sequence[str]) -> None:
    """Two paths that differ only in case, or one that is a folder of another, cannot both be files everywhere."""
    files: dict[str, str] = dict.fromkeys(ALL_SEAL_NAMES, "the seal")
    for path in paths:
        other = files.setdefault(path.casefold(), path)
        if other != path:
            raise NameRefused(f"artifacts {shown(other)} and {shown(path)} differ only in case. Rename one of them.")
    for path in paths:
        for parent in PurePosixPath(path.casefold()).parents:
            if str(parent) in files:
                raise NameRefused(f"artifact {shown(path)} needs a folder where {files[str(parent)]!a} is. Rename one.")


def _first_fault(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{shown(field_path(first))}: {shown(field_problem(first))}"


def canonical_bytes(manifest: Manifest) -> bytes:
    """The manifest as RFC 8785 canonical JSON: the bytes that are signed. The same content gives the same bytes.

    Raises UserError for provenance that JSON cannot hold exactly: NaN, infinity, integers above 2**53 - 1.
    """
    try:
        return rfc8785.dumps(manifest.model_dump(mode="json"))
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise UserError(
            f"the provenance cannot be written as canonical JSON: {error}. Give such values as text."
        ) from error


def read_manifest(content: bytes) -> Manifest:
    """The manifest whose canonical bytes these are. Raises ManifestMalformed, naming the first fault, otherwise."""
    try:
        fields = json.loads(content, parse_int=_parse_integer, parse_constant=_refuse_constant)
        manifest = Manifest.model_validate(fields)
        canonical = canonical_bytes(manifest)
    except ValidationError as error:
        raise ManifestMalformed(_first_fault(error)) from error
    except (ValueError, RecursionError, UserError) as error:
        raise ManifestMalformed(f"not JSON that a manifest can hold: {shown(str(error))}") from error
    if canonical != content:
        raise ManifestMalformed("not in canonical form (RFC 8785): keys, spacing or numbers were rewritten")
    return manifest


def _parse_integer(text: str) -> int | float:
    """RFC 8785 writes a float such as 1e20 without exponent; beyond 2**53 only a float can have been meant."""
    if len(text) > len(str(_MAX_EXACT_INTEGER)):
        return float(text)
    value = int(text)
    return value if abs(value) <= _MAX_EXACT_INTEGER else float(value)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
