"""Puts what judges said of an answer beside its other scores, in local copies of outcome files.

The evaluate step calls it once after fetching; whoever reads the files then finds a judge's score like any other.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from assay.run_records import Plan

FileOf = Callable[[str, int], Path]
"""The local file of a chunk, by the name of its experiment or judgement and its number."""

# An outcome's own keys: within its texts every quotation mark has a backslash, so that these cannot be found there.
_SCORES, _SCORES_END = b'"scores":[', b'],"failure":'
_ROW = re.compile(rb'"row_number":(\d+),')


def add_judged_scores(plan: Plan, asked: FileOf, judged: FileOf) -> None:
    """Adds the scores of every judgement to the outcomes that were judged, in place. Call it once per copy."""
    for judgement in plan.judgements:
        for chunk in range(plan.repeats_of(judgement.name) * len(plan.ranges)):
            _add_chunk(asked(judgement.experiment, chunk), judged(judgement.name, chunk))


def _add_chunk(file: Path, judged: Path) -> None:
    given = dict(_given(line) for line in judged.read_bytes().splitlines() if line)
    lines = (_with_scores(line, given) for line in file.read_bytes().splitlines() if line)
    file.write_bytes(b"".join(line + b"\n" for line in lines))


def _given(line: bytes) -> tuple[int, bytes]:
    """The row and the scores of an outcome, these as the text between the brackets."""
    begin = line.index(_SCORES) + len(_SCORES)
    return _row(line), line[begin : line.index(_SCORES_END, begin)]


def _with_scores(line: bytes, given: Mapping[int, bytes]) -> bytes:
    added = given.get(_row(line))
    if not added:
        return line
    begin = line.index(_SCORES) + len(_SCORES)
    end = line.index(_SCORES_END, begin)
    return line[:end] + (b"," if end > begin else b"") + added + line[end:]


def _row(line: bytes) -> int:
    found = _ROW.search(line)
    if found is None:
        raise ValueError(f"not an outcome: {line[:80]!r}")
    return int(found[1])
