"""Orchestration histories on disk: one JSON-lines file per instance. Called by the task hub only.

A line is written with one call and survives the death of the process; a line cut short by it is dropped on loading.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

from pydantic import ValidationError

from assay.local.durable_records import LINE, AnyLine, Episode, Event, Started
from assay.local.files import write_whole
from assay.telemetry import Telemetry

_SUFFIX = ".jsonl"
_LONGEST_NAME = 200


class HistoryStore:
    """The histories of one task hub in `directory`, which is created."""

    def __init__(self, directory: Path, telemetry: Telemetry) -> None:
        self._directory = directory
        self._telemetry = telemetry
        directory.mkdir(parents=True, exist_ok=True)

    def append(self, instance_id: str, line: AnyLine) -> None:
        """Add one record to an instance that exists."""
        # Unbuffered: the line is with the operating system when this returns, so killing the process loses nothing.
        with self._path(instance_id).open("ab", buffering=0) as file:
            file.write(line.model_dump_json().encode() + b"\n")

    def replace(self, instance_id: str, lines: Iterable[AnyLine]) -> None:
        """Make these records the whole history; a crash leaves the old or the new one. Used to create and to trim."""
        write_whole(self._path(instance_id), "".join(f"{line.model_dump_json()}\n" for line in lines))

    def remove(self, instance_id: str) -> None:
        """Forget an instance. A second call does nothing."""
        self._path(instance_id).unlink(missing_ok=True)

    def load(self) -> Iterator[list[AnyLine]]:
        """Yield the records of every instance, each beginning with `Started`, after cutting what a crash left torn."""
        for path in sorted(self._directory.glob("*" + _SUFFIX)):
            lines = self._read(path)
            if lines and isinstance(lines[0], Started):
                yield lines
            else:
                path.unlink()  # its creation was never confirmed to anybody

    def events(self, instance_id: str) -> list[Event]:
        """The history events of the current execution, oldest first."""
        lines = self._read(self._path(instance_id))
        return [event for line in lines if isinstance(line, Episode) for event in line.events]

    def _read(self, path: Path) -> list[AnyLine]:
        lines: list[AnyLine] = []
        good_bytes = 0
        with path.open("rb") as file:
            for raw in file:
                line = _parse(raw)
                if line is None:
                    break
                lines.append(line)
                good_bytes += len(raw)
        lost_bytes = path.stat().st_size - good_bytes
        if lost_bytes:
            os.truncate(path, good_bytes)  # or the next record would be glued to the torn one
            self._telemetry.problem("durable_history_cut", file=path.name, lost_bytes=lost_bytes)
        return lines

    def _path(self, instance_id: str) -> Path:
        name = quote(instance_id, safe="")  # no id can leave the folder
        if len(name) > _LONGEST_NAME:
            name = hashlib.sha256(instance_id.encode()).hexdigest()
        return self._directory / (name + _SUFFIX)


def _parse(raw: bytes) -> AnyLine | None:
    if not raw.endswith(b"\n"):
        return None
    try:
        return LINE.validate_json(raw)
    except ValidationError:
        return None
