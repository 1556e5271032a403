"""The table of trials as the report's page carries it: compressed, for its own script (`templates/trials.js`)."""

import gzip
import json
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from assay.records import Row
from assay.reporting.contents import Contents
from assay.reporting.samples import cut
from assay.reporting.trial_table import TrialTable

MOST_PACKED_BYTES = 9_000_000
"""As Base64 twelve megabytes, so that the page stays below fifteen."""
MOST_CHARACTERS = 30_000_000
"""What a browser unpacks and reads in about half a second."""
TEXT_LIMITS = (2_000, 1_000, 500, 250, 120, 60, 30)


@dataclass(frozen=True, slots=True)
class PackedTrials:
    """Base64 of gzipped JSON. `trials` is how many it holds, `choice` says which; texts are cut at `text_limit`."""

    packed: str
    trials: int
    choice: str
    text_limit: int


def pack_trials(table: TrialTable, rows: Iterable[Row], contents: Contents) -> PackedTrials:
    """The table, with the fields of its rows; the same arguments give the same text.

    `rows` are the dataset's, read once; without them the page shows no fields. Texts are cut as far as it takes to
    keep the page small.
    """
    wanted = set(table.row)
    fields = {row.number: row.fields for row in rows if row.number in wanted}
    packed, limit = b"", 0
    for limit in TEXT_LIMITS:
        text = _json(table, fields, contents, limit)
        if len(text) > MOST_CHARACTERS and limit > TEXT_LIMITS[-1]:
            continue
        packed = gzip.compress(text.encode("utf-8", "replace"), mtime=0)
        if len(packed) <= MOST_PACKED_BYTES:
            break
    return PackedTrials(b64encode(packed).decode("ascii"), table.trials, table.choice, limit)


def _json(table: TrialTable, fields: Mapping[int, Mapping[str, Any]], contents: Contents, limit: int) -> str:
    """What `trials.js` reads: lists with an entry per row, and lists with an entry per trial."""
    places = {number: place for place, number in enumerate(dict.fromkeys(table.row))}
    kinds = contents.experiments[0].metrics
    content = {
        "experiments": table.experiments,
        "statuses": table.statuses,
        "criteria": table.criteria,
        "scores": [{"name": name, "kind": kinds[name].kind} for name in table.score_names],
        "repeated": any(repeat > 1 for repeat in table.repeat),
        "rows": _rows(table, fields, places, limit),
        "trials": {
            "row": [places[number] for number in table.row],
            "experiment": table.experiment,
            "repeat": table.repeat,
            "status": table.status,
            "answers": [_cut(table.answers[name], limit) for name in table.criteria],
            "scores": [table.scores[name] for name in table.score_names],
            "reasons": [_cut(table.reasons[name], limit) for name in table.score_names],
            "failure": table.failure,
            "message": _cut(table.failure_message, limit),
            "seconds": [None if one is None else round(one, 3) for one in table.latency_seconds],
            "usd": [None if one is None else float(f"{one:.4g}") for one in table.cost_usd],
        },
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _rows(
    table: TrialTable, fields: Mapping[int, Mapping[str, Any]], places: Mapping[int, int], limit: int
) -> dict[str, Any]:
    columns = list(dict.fromkeys(name for of_row in fields.values() for name in of_row))
    ids = dict(zip(table.row, table.row_id, strict=True))
    expected = dict(zip(table.row, table.expected, strict=True))
    return {
        "number": list(places),
        "id": [cut(ids[number], limit) for number in places],
        "expected": [cut(expected[number], limit) for number in places],
        "columns": columns,
        "fields": [[_text(fields.get(number, {}).get(name), limit) for name in columns] for number in places],
    }


def _cut(texts: list[str], limit: int) -> list[str]:
    return [cut(text, limit) for text in texts]


def _text(value: object, limit: int) -> str:
    if value is None:
        return ""
    return cut(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str), limit)
