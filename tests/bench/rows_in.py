"""What it takes to plan a run of 1,000,000 rows of 1 KB: time, and the most memory.

`python -m tests.bench rows`; ASSAY_BENCH_ROWS says how many, ASSAY_BENCH_KINDS which kinds.
"""

import gzip
import json
import os
import random
import string
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROWS = 1_000_000
TEXT_CHARACTERS = 980
LABELS = ("billing", "delivery", "other")
SHARED_TEXTS, SHEET = "xl/sharedStrings.xml", "xl/worksheets/sheet1.xml"
NAMESPACE = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
CONTENT_TYPE = (
    b'<Override PartName="/xl/sharedStrings.xml" ContentType="application/vnd.openxmlformats-officedocument.'
    b'spreadsheetml.sharedStrings+xml"/></Types>'
)
SUITE = """\
version: 1
name: bench
dataset: {id: id, columns: [text, {name: label, values: [billing, delivery, other]}]}
defaults: {model: {deployment: m}, user: "{{ text }}"}
experiments: [{name: plain, baseline: true}]
"""


def measure() -> dict[str, str]:
    """Seconds and megabytes for every kind of file."""
    rows = int(os.environ.get("ASSAY_BENCH_ROWS", ROWS))
    kinds = os.environ.get("ASSAY_BENCH_KINDS", ",".join(WRITERS)).split(",")
    return dict(_measured(kind, rows) for kind in kinds)


def _measured(kind: str, rows: int) -> tuple[str, str]:
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as folder:
        file = Path(folder) / f"dataset.{kind}"
        WRITERS[kind](file, rows)
        megabytes = file.stat().st_size / 1e6
        run = [sys.executable, "-m", "tests.bench.rows_in", str(file), folder]
        told = subprocess.run(run, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    seen = json.loads(told.stdout)
    figures = f"{seen['peak_mb']:.0f} MB at most ({seen['idle_mb']:.0f} MB before), {seen['seconds']:.0f} s"
    return f"{kind}: {seen['rows']:,} rows, {megabytes:,.0f} MB", figures


def plan(file: Path, folder: Path) -> dict[str, float]:
    """Plans a run of the file as the planning step does; what it took."""
    from assay.planning.datasets import open_dataset
    from assay.planning.plan import build_plan
    from assay.planning.preflight import checked_suite

    suite = checked_suite(SUITE)
    idle, began = _peak_mb(), time.perf_counter()
    made = build_plan("bench", suite, SUITE, open_dataset(file, file.name, suite.dataset), file.name, folder)
    seconds = time.perf_counter() - began
    return {"rows": made.plan.rows, "seconds": seconds, "idle_mb": idle, "peak_mb": _peak_mb()}


def _peak_mb() -> float:
    # getrusage would count the parent's memory, which the process had before it became this program.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _rows(count: int) -> Iterator[tuple[str, str, str]]:
    draw = random.Random(1)
    words = ["".join(draw.choices(string.ascii_lowercase, k=draw.randint(2, 11))) for _ in range(5_000)]
    book = " ".join(draw.choices(words, k=200_000))
    for number in range(count):
        begin = draw.randrange(len(book) - TEXT_CHARACTERS)
        yield f"T-{number:07}", book[begin : begin + TEXT_CHARACTERS], draw.choice(LABELS)


def _objects(count: int) -> Iterator[str]:
    for number, text, label in _rows(count):
        yield json.dumps({"id": number, "text": text, "label": label})


def _write_separated(file: Path, count: int, sign: str) -> None:
    with file.open("w", encoding="utf-8") as out:
        out.write(sign.join(("id", "text", "label")) + "\n")
        out.writelines(sign.join(row) + "\n" for row in _rows(count))


def _write_csv(file: Path, count: int) -> None:
    _write_separated(file, count, ",")


def _write_tsv(file: Path, count: int) -> None:
    _write_separated(file, count, "\t")


def _write_json_lines(file: Path, count: int) -> None:
    with file.open("w", encoding="utf-8") as out:
        out.writelines(f"{one}\n" for one in _objects(count))


def _write_packed_lines(file: Path, count: int) -> None:
    with gzip.open(file, "wt", encoding="utf-8", compresslevel=1) as out:
        out.writelines(f"{one}\n" for one in _objects(count))


def _write_json(file: Path, count: int) -> None:
    with file.open("w", encoding="utf-8") as out:
        for number, one in enumerate(_objects(count)):
            out.write(("[" if number == 0 else ",\n") + one)
        out.write("]")


def _write_parquet(file: Path, count: int) -> None:
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    schema = pyarrow.schema([(name, pyarrow.string()) for name in ("id", "text", "label")])
    rows = _rows(count)
    with ParquetWriter(file, schema) as out:
        # One group of a million rows, as pandas and PyArrow write it.
        groups = [dict(zip(("id", "text", "label"), row, strict=True)) for row in rows]
        out.write_table(pyarrow.Table.from_pylist(groups, schema=schema), row_group_size=2**20)


def _write_workbook(file: Path, count: int) -> None:
    """As Excel writes it, and openpyxl does not: every text in the table of shared texts."""
    from openpyxl import Workbook

    book, empty = Workbook(), file.with_suffix(".empty")
    book.active.append(("id", "text", "label"))
    book.save(empty)
    with zipfile.ZipFile(empty) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new:
        for name in old.namelist():
            if name not in (SHARED_TEXTS, SHEET):
                new.writestr(name, old.read(name).replace(b"</Types>", CONTENT_TYPE))
        with new.open(SHARED_TEXTS, "w", force_zip64=True) as out:
            out.write(f'<sst xmlns="{NAMESPACE}">'.encode())
            for text in chain.from_iterable(chain([("id", "text", "label")], _rows(count))):
                out.write(f"<si><t>{text}</t></si>".encode())
            out.write(b"</sst>")
        with new.open(SHEET, "w", force_zip64=True) as out:
            out.write(f'<worksheet xmlns="{NAMESPACE}"><sheetData>'.encode())
            for row in range(count + 1):
                cells = "".join(
                    f'<c r="{column}{row + 1}" t="s"><v>{3 * row + at}</v></c>' for at, column in enumerate("ABC")
                )
                out.write(f'<row r="{row + 1}">{cells}</row>'.encode())
            out.write(b"</sheetData></worksheet>")
    empty.unlink()


WRITERS: dict[str, Callable[[Path, int], None]] = {
    "csv": _write_csv,
    "tsv": _write_tsv,
    "jsonl": _write_json_lines,
    "jsonl.gz": _write_packed_lines,
    "json": _write_json,
    "parquet": _write_parquet,
    "xlsx": _write_workbook,
}


if __name__ == "__main__":
    print(json.dumps(plan(Path(sys.argv[1]), Path(sys.argv[2]))))
