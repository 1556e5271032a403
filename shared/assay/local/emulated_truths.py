"""Reads the true answers of a task from its CSV or JSON-lines file, so that the emulated model can look them up.

Called once per task when the emulator starts.
"""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.errors import SuiteError
from assay.local.emulator_config import AnswerFile, Task


@dataclass(frozen=True, slots=True)
class Truth:
    """What is right for one row. `number` is set for tasks of kind number only."""

    label: str
    number: float
    hard: bool


def read_truths(task: Task, folder: Path) -> dict[str, Truth]:
    """The truths by row key; of rows with the same key the first counts.

    Rows without a key or a usable answer are left out: sample data may hold bad rows on purpose. Raises SuiteError
    when the file cannot be read, lacks a named column, or holds no usable row at all.
    """
    path = folder / task.answers.file
    truths: dict[str, Truth] = {}
    for row in _rows(path, task):
        key, label = _cell(row, task.answers.key), _cell(row, task.answers.answer)
        number = _number(label) if task.kind == "number" else 0.0
        if key and label and number is not None:
            truths.setdefault(key, Truth(label, number, _is_hard(row, task.answers)))
    if not truths:
        raise SuiteError(f"{path}: holds no answer for task {task.name!r}; expected at least one row with a key")
    return truths


def _rows(path: Path, task: Task) -> Iterator[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"{path}: the answers of task {task.name!r} cannot be read: {error}") from error
    rows = _json_lines(path, text) if path.suffix == ".jsonl" else list(csv.DictReader(io.StringIO(text, newline="")))
    columns: set[str] = set().union(*rows) if rows else set()
    wanted = (task.answers.key, task.answers.answer, task.answers.difficulty)
    missing = [name for name in wanted if name is not None and name not in columns]
    if missing:
        names = ", ".join(sorted(map(str, columns)))
        raise SuiteError(f"{path}: has no column {missing[0]!r}, which task {task.name!r} names. It has: {names}")
    yield from rows


def _json_lines(path: Path, text: str) -> list[dict[str, Any]]:
    try:
        rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError as error:
        raise SuiteError(f"{path}: is not JSON lines: {error}") from error
    return [row for row in rows if isinstance(row, dict)]


def _cell(row: dict[str, Any], column: str) -> str:
    value = row.get(column)
    return "" if value is None else str(value).strip()


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _is_hard(row: dict[str, Any], answers: AnswerFile) -> bool:
    return answers.difficulty is not None and _cell(row, answers.difficulty).lower() == "hard"
