"""A batch of trials in columns: what is read of outcome lines, and the order in which results show them.

`outcome_files.py` reads them; `columns.py`, `tallies.py`, `samples.py` and `tables.py` take what they need.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from assay.scoring.views import STATUSES

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
Places = npt.NDArray[np.int16]

_USAGE = pa.struct([(name, pa.int64()) for name in ("input_tokens", "cached_input_tokens", "output_tokens")])
_RESPONSE = pa.struct(
    [
        ("criterion", pa.string()),
        ("text", pa.large_string()),  # more than 2 GB in one batch must not break it
        ("finish_reason", pa.string()),
        ("model", pa.string()),
        ("deployment", pa.string()),
        ("usage", _USAGE),
        ("cost_usd", pa.string()),  # a decimal number as text: no digit may be lost
        ("latency_seconds", pa.float64()),
        ("quota_wait_seconds", pa.float64()),
        ("first_token_seconds", pa.float64()),
        ("attempts", pa.list_(pa.struct([("number", pa.int64())]))),
        ("discarded", _USAGE),
        ("discarded_usd", pa.string()),
        ("cached", pa.bool_()),
        ("reruns", pa.int64()),
        ("limit_sent", pa.int64()),
    ]
)
_SCORE = pa.struct(
    [
        ("name", pa.string()),
        ("value", pa.float64()),
        ("reason", pa.string()),
        ("label", pa.string()),
        ("expected", pa.string()),
    ]
)
_FAILURE = pa.struct(
    [
        ("kind", pa.string()),
        ("message", pa.string()),
        ("criterion", pa.string()),
        ("request_id", pa.string()),
        ("attempts", pa.list_(pa.struct([("number", pa.int64())]))),
        ("usage", _USAGE),
        ("cost_usd", pa.string()),
    ]
)

SCHEMA = pa.schema(
    [
        ("row_id", pa.string()),
        ("row_number", pa.int64()),
        ("experiment", pa.string()),
        ("repeat", pa.int64()),
        ("status", pa.string()),
        ("responses", pa.list_(_RESPONSE)),
        ("scores", pa.list_(_SCORE)),
        ("failure", _FAILURE),
    ]
)
"""The fields of `records.Outcome` that the evaluation looks at, by the names that they have there."""


class Lists:
    """Responses or scores of all trials one after the other. `trial` says whose each one is."""

    def __init__(self, column: pa.ListArray) -> None:
        self.counts: Whole = pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
        self.starts: Whole = np.cumsum(self.counts) - self.counts
        self.trial: Whole = np.repeat(np.arange(len(self.counts)), self.counts)
        self._items = column.flatten()

    def __len__(self) -> int:
        return len(self.trial)

    def strings(self, *path: str) -> pa.Array:
        """A field of text; null where there is none."""
        return pc.struct_field(self._items, list(path))

    def whole(self, *path: str) -> Whole:
        """A field of whole numbers; 0 where there is none."""
        return _whole(pc.struct_field(self._items, list(path)))

    def floats(self, *path: str) -> Floats:
        """A field of numbers; NaN where there is none."""
        return _floats(pc.struct_field(self._items, list(path)))

    def flags(self, *path: str) -> npt.NDArray[np.bool_]:
        """A field of yes and no; no where there is none."""
        flags: npt.NDArray[np.bool_] = (
            pc.struct_field(self._items, list(path)).fill_null(False).to_numpy(zero_copy_only=False)
        )
        return flags

    def lengths(self, *path: str) -> Whole:
        """How many items a field that is a list has; 0 where there is none."""
        return _whole(pc.list_value_length(pc.struct_field(self._items, list(path))))

    def sums(self, values: npt.NDArray[np.float64] | Whole | npt.NDArray[np.bool_]) -> Floats:
        """Per trial the sum of a number per item; NaN for a trial that has one of these."""
        sums: Floats = np.bincount(self.trial, weights=values, minlength=len(self.counts)).astype(np.float64)
        return sums

    def last(self, chosen: npt.NDArray[np.bool_]) -> Whole:
        """Per trial the place of its last chosen item, or -1."""
        places = np.full(len(self.counts), -1, dtype=np.int64)
        items = np.flatnonzero(chosen)
        places[self.trial[items]] = items
        return places

    def patterns(self, codes: Whole) -> tuple[Whole, Whole]:
        """Per trial the number of its sequence of codes, and per such number one trial that has it."""
        keys, most = np.zeros(len(self.counts), dtype=np.int64), int(codes.max(initial=0)) + 2
        for at in range(int(self.counts.max(initial=0))):
            inside = self.counts > at
            step = np.zeros(len(keys), dtype=np.int64)
            step[inside] = codes[self.starts[inside] + at] + 1
            keys = np.unique(keys * most + step, return_inverse=True)[1].astype(np.int64)
        _, trials, numbers = np.unique(keys, return_index=True, return_inverse=True)
        return numbers.astype(np.int64), trials.astype(np.int64)


@dataclass(frozen=True)
class TrialBatch:
    """Trials as they were read, each once. `experiment` is their place in `experiments`, the baseline's is 0."""

    experiments: tuple[str, ...]
    table: pa.Table
    lines: pa.LargeBinaryArray
    experiment: Places

    @classmethod
    def of(
        cls, experiments: Sequence[str], table: pa.Table, lines: pa.LargeBinaryArray, experiment: Places
    ) -> "TrialBatch":
        """The batch without what was read before: of two outcomes of a trial the first one counts."""
        batch = cls(tuple(experiments), table.combine_chunks(), lines, experiment)
        again = np.zeros(len(batch), dtype=np.bool_)
        order = batch.order
        keys = np.stack([batch.row, batch.experiment, batch.repeat])[:, order]
        again[order[1:]] = (keys[:, 1:] == keys[:, :-1]).all(axis=0)
        if not again.any():
            return batch
        kept = pa.array(~again)
        return cls(batch.experiments, batch.table.filter(kept).combine_chunks(), lines.filter(kept), experiment[~again])

    def __len__(self) -> int:
        return len(self.experiment)

    @cached_property
    def row(self) -> Whole:
        return _whole(self.column("row_number"))

    @cached_property
    def repeat(self) -> Whole:
        return _whole(self.column("repeat"))

    @cached_property
    def order(self) -> Whole:
        """The trials in the order of the results: by row, experiment and repeat, and then as they were read."""
        return np.lexsort((self.repeat, self.experiment, self.row))

    @cached_property
    def status(self) -> npt.NDArray[np.int8]:
        """Places in `STATUSES`. Raises LookupError for another one."""
        found = pc.index_in(self.column("status"), pa.array([one.value for one in STATUSES]))
        if found.null_count:
            unknown = self.column("status").filter(pc.is_null(found))[0]
            raise LookupError(f"outcome with the status {unknown}; expected {', '.join(STATUSES)}")
        return _whole(found).astype(np.int8)

    @cached_property
    def responses(self) -> Lists:
        return Lists(self.column("responses"))

    @cached_property
    def scores(self) -> Lists:
        return Lists(self.column("scores"))

    @cached_property
    def failed(self) -> Whole:
        """The trials that have a failure."""
        return np.flatnonzero(self.column("failure").is_valid().to_numpy(zero_copy_only=False))

    def failures(self, *path: str) -> pa.Array:
        """A field of the failures, one for each of `failed`."""
        return pc.struct_field(self.column("failure").take(pa.array(self.failed)), list(path))

    def failed_tokens(self, name: str) -> Whole:
        """Tokens that failed answers were billed, one number for each of `failed`."""
        return _whole(self.failures("usage", name))

    def column(self, name: str) -> pa.Array:
        """A whole column, null where a line does not have it."""
        chunks = self.table[name].chunks
        return chunks[0] if chunks else pa.array([], SCHEMA.field(name).type)

    def score_items(self, name: str) -> Whole:
        """Per trial the place of its score of that name among all scores, or -1."""
        return self.scores.last(pc.equal(self.scores.strings("name"), name).fill_null(False).to_numpy(False))


def numbers(column: pa.Array) -> Floats:
    """Numbers that are written as text; NaN where there is none. Good for sums that may be inexact."""
    return _floats(column.cast(pa.float64()))


def picked(column: pa.Array, places: Whole) -> pa.Array:
    """The items at these places, null for -1."""
    return column.take(pa.array(places, mask=places < 0))


def _whole(column: pa.Array) -> Whole:
    values: Whole = column.fill_null(0).to_numpy(zero_copy_only=False)
    return values.astype(np.int64, copy=False)


def _floats(column: pa.Array) -> Floats:
    values: Floats = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return values
