"""The trials that a report's page carries, packed for its own table (`templates/trials.js`). The report step calls it.

Whole rows in the dataset's order, as many as fit; what the page leaves out is in `results.csv`.
"""

import gzip
import json
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from assay.records import Outcome, Row, TrialStatus
from assay.reporting.contents import Contents
from assay.reporting.samples import cut

MOST_TRIALS = 20_000
MOST_PACKED_BYTES = 9_000_000
"""As Base64 twelve megabytes, so that the page stays below fifteen."""
MOST_CHARACTERS = 30_000_000
TEXT_LIMITS = (2_000, 1_000, 500, 250, 120, 60, 30)

_STATUSES = (TrialStatus.SUCCEEDED, TrialStatus.FAILED, TrialStatus.BLOCKED, TrialStatus.SKIPPED)


@dataclass(frozen=True, slots=True)
class PackedTrials:
    """Base64 of gzipped JSON. `trials` and `rows` are how many it holds, `text_limit` is where texts are cut."""

    packed: str
    trials: int
    rows: int
    text_limit: int


def pack_trials(groups: Iterable[Sequence[Outcome]], rows: Iterable[Row], contents: Contents) -> PackedTrials:
    """The first whole rows of a run, at most MOST_TRIALS trials of them; the same ones give the same text.

    `groups` hold all outcomes of some rows each, in the order of the rows; neither they nor `rows` are read further
    than needed. Texts are cut as far as it takes to keep the page small.
    """
    trials = list(_first_rows(groups, contents))
    wanted = {one.row_number for one in trials}
    taken = list(_wanted_rows(rows, wanted))
    for limit in TEXT_LIMITS:
        text = json.dumps(_content(trials, taken, contents, limit), ensure_ascii=False, separators=(",", ":"))
        if len(text) <= MOST_CHARACTERS or limit == TEXT_LIMITS[-1]:
            packed = gzip.compress(text.encode("utf-8", "replace"), mtime=0)
            if len(packed) <= MOST_PACKED_BYTES:
                break
    return PackedTrials(b64encode(packed).decode("ascii"), len(trials), len(wanted), limit)


def _first_rows(groups: Iterable[Sequence[Outcome]], contents: Contents) -> Iterator[Outcome]:
    ranks = {one.name: rank for rank, one in enumerate(contents.experiments)}
    count = 0
    for group in groups:
        ordered = sorted(group, key=lambda one: (one.row_number, ranks[one.experiment], one.repeat))
        for _, of_row in groupby(ordered, key=lambda one: one.row_number):
            trials = [_shortened(one) for one in of_row]
            count += len(trials)
            if count > MOST_TRIALS:
                return
            yield from trials


def _shortened(one: Outcome) -> Outcome:
    """Without what the page does not show, so that long answers are not held."""
    most = TEXT_LIMITS[0]
    responses = tuple(
        response.model_copy(update={"text": cut(response.text, most), "attempts": ()}) for response in one.responses
    )
    return one.model_copy(update={"responses": responses})


def _wanted_rows(rows: Iterable[Row], wanted: set[int]) -> Iterator[Row]:
    last = max(wanted, default=0)
    for row in rows:
        if row.number > last:
            return
        if row.number in wanted:
            yield row


def _content(trials: Sequence[Outcome], rows: Sequence[Row], contents: Contents, limit: int) -> dict[str, Any]:
    """What `trials.js` reads; a line per row and per trial keeps it small, its comment names their places."""
    columns = list(dict.fromkeys(name for row in rows for name in row.fields))
    fields = {row.number: [_text(row.fields.get(name), limit) for name in columns] for row in rows}
    ids = {one.row_number: one.row_id for one in trials}
    places = {number: place for place, number in enumerate(ids)}
    criteria = list(dict.fromkeys(response.criterion for one in trials for response in one.responses))
    ranks = {one.name: rank for rank, one in enumerate(contents.experiments)}
    kinds = contents.experiments[0].metrics
    return {
        "experiments": list(ranks),
        "scores": [{"name": name, "kind": kinds[name].kind} for name in contents.scores],
        "criteria": criteria,
        "columns": columns,
        "repeated": any(one.repeat for one in trials),
        "rows": [[number, cut(row_id, limit), fields.get(number, [])] for number, row_id in ids.items()],
        "trials": [
            [places[one.row_number], ranks[one.experiment], *_line(one, contents.scores, criteria, limit)]
            for one in trials
        ],
    }


def _line(one: Outcome, scores: Sequence[str], criteria: Sequence[str], limit: int) -> list[Any]:
    """Repeat, status, scores, answers, reasons, failure, seconds."""
    given = {score.name: score for score in one.scores}
    values = [given[name].value if name in given else None for name in scores]
    reasons = [cut(given[name].reason or "", limit) if name in given else "" for name in scores]
    answers = [[criteria.index(response.criterion), cut(response.text, limit)] for response in one.responses]
    failure = f"{one.failure.kind}: {cut(one.failure.message, limit)}" if one.failure else None
    seconds = round(sum(response.latency_seconds for response in one.responses), 3) if one.responses else None
    return [one.repeat, _STATUSES.index(one.status), values, answers, reasons, failure, seconds]


def _text(value: object, limit: int) -> str:
    if value is None:
        return ""
    return cut(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str), limit)
