"""Local copies of a run's outcome blobs, read in batches of columns. The evaluate step downloads them and reads them.

A batch is a few consecutive row ranges with all their experiments and repeats, parsed by pyarrow outside Python.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from assay.errors import CheckFailed
from assay.records import Outcome
from assay.reporting.trials import SCHEMA, Places, TrialBatch
from assay.run_records import Plan

BATCH_BYTES = 12_000_000

_LINE_FEED = 10
_MOST_BLOCK = 1 << 30


@dataclass(frozen=True)
class OutcomeFile:
    """The outcomes of one chunk: which experiment's, which repeat's (from 0), which rows'."""

    experiment: str
    repeat: int
    first_row: int
    rows: int
    path: Path


@dataclass(frozen=True)
class RawBatch:
    """The bytes of a few row ranges: the files, and what is in them."""

    plan: Plan
    files: tuple[OutcomeFile, ...]
    contents: tuple[bytes, ...]

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(map(len, self.contents))

    def parsed(self) -> TrialBatch:
        """The trials in columns. Raises CheckFailed for what is no outcome, LookupError for one that is not planned."""
        joined = b"".join(self.contents)
        ends = np.flatnonzero(np.frombuffer(joined, dtype=np.uint8) == _LINE_FEED) + 1
        offsets = np.concatenate([[0], ends]).astype(np.int64)
        lines = pa.LargeBinaryArray.from_buffers(
            pa.large_binary(), len(ends), [None, pa.py_buffer(offsets), pa.py_buffer(joined)]
        )
        table = self._table(joined, int(np.diff(offsets).max(initial=0)))
        if table.num_rows != len(ends):
            raise CheckFailed(f"{self._place}: {table.num_rows} outcomes in {len(ends)} lines; expected one in each")
        counts = [content.count(b"\n") for content in self.contents]
        return TrialBatch.of(self.plan.experiments, table, lines, self._check(table, counts))

    @property
    def _place(self) -> str:
        first, last = self.files[0], self.files[-1]
        return f"outcomes of the rows {first.first_row} to {last.first_row + last.rows - 1}"

    def _table(self, joined: bytes, longest: int) -> pa.Table:
        """Fields that are not asked for are passed over: `results.jsonl` has the lines as they are."""
        if not joined:
            return SCHEMA.empty_table()
        block = min(len(joined) + 1, max(longest + 1, _MOST_BLOCK))
        try:
            return pyarrow.json.read_json(
                pa.BufferReader(joined),
                read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=block),
                parse_options=pyarrow.json.ParseOptions(explicit_schema=SCHEMA, unexpected_field_behavior="ignore"),
            )
        except pa.ArrowInvalid as error:
            raise CheckFailed(f"{self._place}: not readable as outcomes: {error}") from error

    def _check(self, table: pa.Table, counts: Sequence[int]) -> Places:
        """Places of the experiments; every outcome must be of its file's experiment, repeat and rows."""
        names = pa.array(self.plan.experiments, pa.string())
        found = pc.index_in(table["experiment"], names).fill_null(-1).to_numpy()
        places = np.array([self.plan.experiments.index(file.experiment) for file in self.files])
        rows = table["row_number"].fill_null(0).to_numpy()
        repeats = table["repeat"].fill_null(0).to_numpy()
        fits = (found == np.repeat(places, counts)) & (repeats == np.repeat([one.repeat for one in self.files], counts))
        first, last = (np.repeat(ends, counts) for ends in zip(*map(self._rows_of, self.files), strict=True))
        fits &= (first <= rows) & (rows <= last)
        if not fits.all():
            self._refuse(table, counts, int(np.argmin(fits)))
        places_found: Places = found.astype(np.int16)
        return places_found

    def _rows_of(self, file: OutcomeFile) -> tuple[int, int]:
        """First and last row that the file may hold; any where early stop has put the rows in a random order."""
        return (1, self.plan.rows) if self.plan.early_stop else (file.first_row, file.first_row + file.rows - 1)

    def _refuse(self, table: pa.Table, counts: Sequence[int], at: int) -> None:
        file = self.files[int(np.searchsorted(np.cumsum(counts), at, side="right"))]
        found = {name: table[name][at].as_py() for name in ("row_number", "experiment", "repeat")}
        raise LookupError(
            f"outcome of row {found['row_number']}, experiment '{found['experiment']}', repeat {found['repeat'] or 0}"
            f" is not planned in the chunk of '{file.experiment}', repeat {file.repeat}, rows {file.first_row} to"
            f" {file.first_row + file.rows - 1}"
        )


@dataclass(frozen=True)
class OutcomeFiles:
    """The outcome files of a run in a folder; read as often as needed, a few row ranges in memory at a time."""

    plan: Plan
    folder: Path

    def file(self, experiment: str, chunk: int) -> Path:
        # By number: a disk may take names that differ in case only for one.
        return self.folder / f"{self.plan.names.index(experiment)}-{chunk:06d}.jsonl"

    def chunks(self, at: int) -> list[tuple[str, int]]:
        """Experiment and number of every chunk of a row range, an experiment's repeats one after the other."""
        plan = self.plan
        return [(name, plan.chunk(at, one)) for name in plan.experiments for one in range(plan.repeats_of(name))]

    def batches(self, most_bytes: int = BATCH_BYTES) -> Iterator[RawBatch]:
        """All outcomes in the order of their rows: as many ranges at a time as have so many bytes, at least one."""
        files: list[OutcomeFile] = []
        contents: list[bytes] = []
        for at in range(len(self.plan.ranges)):
            for file in self._files(at):
                files.append(file)
                contents.append(_whole_lines(file.path.read_bytes()))
            if sum(map(len, contents)) >= most_bytes:
                yield RawBatch(self.plan, tuple(files), tuple(contents))
                files, contents = [], []
        if files:
            yield RawBatch(self.plan, tuple(files), tuple(contents))

    def outcomes(self, experiment: str, rows: Iterable[int]) -> Iterator[Outcome]:
        """The first outcomes of these rows in an experiment, repeat 0, by row; rows without an outcome are left out."""
        wanted, found = set(rows), list[Outcome]()
        for at, one in enumerate(self.plan.ranges):
            planned = range(one.first_row, one.first_row + one.rows)
            inside = wanted if self.plan.early_stop else wanted.intersection(planned)
            if inside:
                found += _found(self.file(experiment, self.plan.chunk(at, 0)), inside)
                wanted = wanted.difference(outcome.row_number for outcome in found)
        yield from sorted(found, key=lambda one: one.row_number)

    def _files(self, at: int) -> Iterator[OutcomeFile]:
        of = self.plan.ranges[at]
        for experiment, chunk in self.chunks(at):
            repeat = chunk // len(self.plan.ranges)
            yield OutcomeFile(experiment, repeat, of.first_row, of.rows, self.file(experiment, chunk))


def _whole_lines(content: bytes) -> bytes:
    return content if content.endswith(b"\n") or not content else content + b"\n"


def _found(path: Path, rows: set[int]) -> Iterator[Outcome]:
    marks = {row: f'"row_number":{row},'.encode() for row in sorted(rows)}
    found: dict[int, Outcome] = {}
    for line in path.read_bytes().split(b"\n"):
        for row in [row for row, mark in marks.items() if mark in line]:
            one = Outcome.model_validate_json(line)
            if one.row_number == row:
                found[row] = one
                del marks[row]
        if not marks:
            break
    yield from (found[row] for row in sorted(found))
