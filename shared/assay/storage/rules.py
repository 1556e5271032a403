"""Rules of blob storage that every adapter keeps: how paths divide, what metadata may hold."""

import re
from collections.abc import Mapping

from assay.errors import StorageError

LEASE_SECONDS = range(15, 61)
MESSAGE_BYTES = 64 * 1024

# Storage wants metadata names that are C# identifiers and keeps no promise about their case. Values travel as headers.
_METADATA_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_METADATA_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?")


def split_path(path: str) -> tuple[str, str]:
    """`container/some/name` as `("container", "some/name")`. Raises ValueError when there is no name."""
    container, _, name = path.partition("/")
    if not container or not name:
        raise ValueError(f"'{path}' is not the path of a blob: expected container/name")
    return container, name


def split_prefix(prefix: str) -> tuple[str, str]:
    """Like `split_path`, but the name's part may be empty. Raises ValueError when there is no container."""
    container, _, name = prefix.partition("/")
    if not container:
        raise ValueError(f"'{prefix}' is not a prefix: expected container/ and the beginning of names")
    return container, name


def checked_metadata(metadata: Mapping[str, str] | None) -> dict[str, str]:
    """A copy of the metadata. Raises ValueError for names and values that storage would refuse or change."""
    for name, value in (metadata or {}).items():
        if not _METADATA_NAME.fullmatch(name) or not _METADATA_VALUE.fullmatch(value):
            raise ValueError(
                f"metadata {name!r}: {value!r} cannot be stored: expected a lower-case identifier as name and "
                "printable ASCII, neither empty nor padded with spaces, as value"
            )
    return dict(metadata or {})


def check_lease_seconds(path: str, seconds: int) -> None:
    """Raises StorageError for a period that storage does not grant."""
    if seconds not in LEASE_SECONDS:
        raise StorageError(f"leasing {path} for {seconds} seconds: storage grants 15 to 60 seconds")
