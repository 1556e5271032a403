"""A sealed bundle for the tests of sinks, and a transport that dies."""

from __future__ import annotations

from pathlib import Path

import httpx2
from cryptography.hazmat.primitives.asymmetric import ec

from assay.provenance.bundle import Statement, seal_folder
from assay.provenance.signing import LocalKeySigner
from assay.sinks.base import Bundle

SIGNER = LocalKeySigner(ec.generate_private_key(ec.SECP256R1()))
FILES = {"report.md": "# Ergebnis: größer\n".encode(), "plots/box.png": b"\x89PNG\x00\xff", "results.csv": b"id\n1\n"}
SUMMARY = "## think-first is better"
STATEMENT = Statement("triage-1", "2026-01-02T03:04:05+00:00", {})


async def sealed_bundle(folder: Path, files: dict[str, bytes] = FILES, summary: str = SUMMARY) -> Bundle:
    """A bundle of the run `triage-1` with these files."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    await seal_folder(folder, STATEMENT, SIGNER)
    return Bundle("triage-1", "triage", folder, summary)


class Killed(BaseException):
    """The process ends here."""


class Dying(httpx2.AsyncBaseTransport):
    """Lets requests through until one kills the process: before it arrives, or after it was answered."""

    def __init__(self, service: httpx2.AsyncBaseTransport, at: int, *, before: bool) -> None:
        self._service, self._left, self._before = service, at, before

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        last = self._left == 0
        self._left -= 1
        if last and self._before:
            raise Killed
        answer = await self._service.handle_async_request(request)
        if last:
            raise Killed
        return answer
