"""What kind a file is, by the ending of its name: the manifest says it, and blobs are served as it."""

from pathlib import PurePosixPath

# Our own table: `mimetypes` reads files of the machine, and a manifest must not depend on the machine.
_MEDIA_TYPES = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".md": "text/markdown",
    ".parquet": "application/vnd.apache.parquet",
    ".pem": "application/x-pem-file",
    ".png": "image/png",
    ".pub": "application/x-pem-file",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".yaml": "application/yaml",
    ".zip": "application/zip",
}


def media_type(path: str) -> str:
    """The media type for the name's ending, the same on every machine; `application/octet-stream` for all others."""
    return _MEDIA_TYPES.get(PurePosixPath(path).suffix.lower(), "application/octet-stream")


def content_type(path: str) -> str:
    """The media type for a `Content-Type` header: with the encoding of text, which is always UTF-8."""
    found = media_type(path)
    return f"{found}; charset=utf-8" if found.startswith("text/") else found
