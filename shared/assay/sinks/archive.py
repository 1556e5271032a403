"""A bundle as one zip; the same bundle gives the same bytes. The folder sink and the blob sink make it."""

import zipfile
from pathlib import Path

from assay.sinks.base import Bundle

_AT = (1980, 1, 1, 0, 0, 0)  # the first time that a zip knows: when it was made is in the manifest
_PIECE = 1024 * 1024
_QUICK = 1  # of zlib's levels: several times as fast as the usual one, for some more bytes
_PLAIN_FILE = 0o100644 << 16
_PACKED_ALREADY = (".parquet", ".xlsx", ".png", ".zip", ".gz")


def write_archive(bundle: Bundle, target: Path) -> None:
    """Writes the zip. Everything lies in one folder with the run's name."""
    with zipfile.ZipFile(target, "w") as archive:
        for name, file in bundle.files:
            _add(archive, f"{bundle.run}/{name}", file)


def _add(archive: zipfile.ZipFile, name: str, file: Path) -> None:
    info = zipfile.ZipInfo(name, _AT)
    info.external_attr = _PLAIN_FILE
    info.create_system = 3  # as on Unix, wherever it is made
    info.compress_type = zipfile.ZIP_STORED if name.endswith(_PACKED_ALREADY) else zipfile.ZIP_DEFLATED
    info._compresslevel = _QUICK  # type: ignore[attr-defined]  # public from Python 3.13 on, under another name
    with file.open("rb") as source, archive.open(info, "w", force_zip64=file.stat().st_size > 2**31) as packed:
        while piece := source.read(_PIECE):
            packed.write(piece)
