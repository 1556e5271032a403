"""The bytes of a dataset file, unpacked from a gzip archive; a small file cannot become a huge one. Readers use it."""

import gzip
import io
import zlib
from pathlib import Path
from typing import IO, Any

from assay.errors import DatasetError

GZIP_ENDING = ".gz"
MAX_UNPACKED_BYTES = 8 * 1024**3
FREE_BYTES = 64 * 1024**2
MAX_RATIO = 200
BUFFER_BYTES = 256 * 1024


def open_bytes(path: Path, file: str) -> IO[bytes]:
    """The content of a file; of `.gz`, what is packed in it. Reading raises DatasetError for a damaged archive."""
    if not is_packed(file):
        return path.open("rb")
    return io.BufferedReader(_Unpacked(path, file), BUFFER_BYTES)


def is_packed(file: str) -> bool:
    return file.lower().endswith(GZIP_ENDING)


def unpacked_name(file: str) -> str:
    """The name without `.gz`."""
    return file[: -len(GZIP_ENDING)] if is_packed(file) else file


def refuse_bomb(file: str, packed_bytes: int, unpacked_bytes: int) -> None:
    """Raises DatasetError for content that no table of that packed size has."""
    if unpacked_bytes > MAX_UNPACKED_BYTES:
        raise DatasetError(f"{file}: more than {MAX_UNPACKED_BYTES:,} bytes unpacked; split the file")
    if unpacked_bytes > max(FREE_BYTES, MAX_RATIO * packed_bytes):
        raise DatasetError(
            f"{file}: its {packed_bytes:,} bytes unpack to more than {MAX_RATIO} times as many;"
            " that is no table. Drop it unpacked if it is one"
        )


class _Unpacked(io.RawIOBase):
    """A gzip archive, read as its content."""

    def __init__(self, path: Path, file: str) -> None:
        self._file, self._packed_bytes, self._read_bytes = file, path.stat().st_size, 0
        self._stream = gzip.open(path, "rb")  # noqa: SIM115 - closed with the reader

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        try:
            count = self._stream.readinto(buffer)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DatasetError(f"{self._file}: the gzip archive is damaged: {_said(error)}") from error
        self._read_bytes += count
        refuse_bomb(self._file, self._packed_bytes, self._read_bytes)
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()


def _said(error: Exception) -> str:
    return "it ends too early; was the upload complete?" if isinstance(error, EOFError) else str(error)
