"""Whether every byte of a zip belongs to one of its files or to its directory. `files.py` asks.

Zips may hold other bytes before, between and after their files, which readers pass over that follow the directory.
The layout is that of PKWARE's APPNOTE 6.3.10, 4.3.
"""

import struct
import zipfile
from pathlib import Path
from typing import IO

_LOCAL_HEADER_BYTES, _LENGTHS_AT = 30, 26
_END_BYTES, _END_SIGNATURE = 22, b"PK\x05\x06"
_HAS_DESCRIPTOR = 0x8
_DESCRIPTOR_BYTES = (12, 16, 20, 24)
"""With and without a signature, for sizes of 32 and of 64 bits."""


def foreign_bytes(file: Path, archive: zipfile.ZipFile) -> str | None:
    """Where there are bytes that belong to nothing, for a person; None where there are none. Raises OSError."""
    with file.open("rb") as content:
        ends: tuple[int, ...] = (0,)
        for info in sorted(archive.infolist(), key=lambda one: one.header_offset):
            if info.header_offset not in ends:
                return f"before byte {info.header_offset}, where a file of it begins"
            ends = _ends(content, info)
        if archive.start_dir not in ends:
            return f"before byte {archive.start_dir}, where its directory begins"
        content.seek(-min(_END_BYTES + len(archive.comment), file.stat().st_size), 2)
        return None if content.read(4) == _END_SIGNATURE else "after its end"


def _ends(content: IO[bytes], info: zipfile.ZipInfo) -> tuple[int, ...]:
    """Where a file of the zip may end."""
    content.seek(info.header_offset + _LENGTHS_AT)
    lengths = content.read(4)
    if len(lengths) < 4:
        return ()
    end = info.header_offset + _LOCAL_HEADER_BYTES + sum(struct.unpack("<HH", lengths)) + info.compress_size
    return tuple(end + size for size in _DESCRIPTOR_BYTES) if info.flag_bits & _HAS_DESCRIPTOR else (end,)
