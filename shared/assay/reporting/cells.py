"""What results say of each trial of a batch, in columns with types, and as the texts of `results.csv`.

`tables.py` writes them. Everything here depends on the answers alone: not on times, attempts, ids or what was billed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from assay.amounts import exact_usd
from assay.llm.pricing import PriceTable
from assay.planning.preflight import scores_given
from assay.records import NO_COST, Usage
from assay.reporting.trials import Lists, TrialBatch, Whole, picked
from assay.scoring.views import STATUSES
from assay.suite.models import Suite

_COST = pa.decimal128(38, 18)
_SMALLEST, _WIDE = Decimal("1e-18"), Context(prec=76)
_FORMULA = r"^(?:[=+\-@\t\r\n]|＝|＋|－|＠)"
_NUMBER = r"^[+-]?\p{Nd}+(\.\p{Nd}+)?([eE][+-]?\p{Nd}+)?$"


@dataclass(frozen=True)
class Layout:
    """Which columns the results of a suite have."""

    criteria: tuple[str, ...]
    scores: tuple[str, ...]
    repeated: bool

    @classmethod
    def of(cls, suite: Suite) -> "Layout":
        """Criteria in the order in which the experiments bring them up, scores in the suite's order."""
        names = (name for experiment in suite.ordered for name in experiment.criterion_names)
        return cls(tuple(dict.fromkeys(names)), tuple(one.name for one in scores_given(suite)), suite.is_repeated)

    @property
    def schema(self) -> pa.Schema:
        """Of `results.parquet`."""
        text, whole = pa.string(), pa.int64()
        return pa.schema(
            [
                *[("row_id", text), ("row", whole), ("experiment", text), ("repeat", whole), ("status", text)],
                *[(f"answer.{name}", pa.large_string()) for name in self.criteria],
                *[(f"score.{name}", pa.float64()) for name in self.scores],
                *[(f"{field}.{name}", text) for field in ("reason", "label", "expected") for name in self.scores],
                *[("input_tokens", whole), ("output_tokens", whole), ("cost_usd", _COST)],
                *[("model", text), ("deployment", text), ("finish_reason", text), ("failure", text)],
            ]
        )

    @property
    def csv_columns(self) -> list[str]:
        """Of `results.csv`, in order."""
        left_out = ("reason.", "label.", "expected.") if self.repeated else ("reason.", "label.", "expected.", "repeat")
        return [name for name in self.schema.names if not name.startswith(left_out)]


@dataclass(frozen=True)
class Results:
    """A batch's trials in the order of the results: typed columns, and costs as their plain texts."""

    table: pa.Table
    costs: pa.Array

    @classmethod
    def of(cls, batch: TrialBatch, layout: Layout, prices: PriceTable) -> "Results":
        """Takes them out of a batch; changes nothing, so that batches can be prepared side by side."""
        order, responses = batch.order, batch.responses
        costs, amounts = _costs(responses, prices)
        tokens = {name: responses.sums(responses.whole("usage", name))[order] for name in Usage.model_fields}
        columns = {
            "row_id": batch.column("row_id").take(pa.array(order)),
            "row": batch.row[order],
            "experiment": pa.array(batch.experiments).take(pa.array(batch.experiment[order])),
            "repeat": batch.repeat[order] + 1,
            "status": pa.array([one.value for one in STATUSES]).take(pa.array(batch.status[order])),
            **_answers(batch, layout.criteria),
            **_scores(batch, layout.scores),
            "input_tokens": tokens["input_tokens"].astype(np.int64),
            "output_tokens": tokens["output_tokens"].astype(np.int64),
            "cost_usd": amounts.take(pa.array(order)),
            **{name: _distinct(responses, name, order) for name in ("model", "deployment", "finish_reason")},
            "failure": _failures(batch),
        }
        return cls(pa.table(columns, schema=layout.schema), costs.take(pa.array(order)))

    def texts(self, layout: Layout) -> pa.Table:
        """The cells of `results.csv`."""
        table = self.table
        columns = {
            name: self.costs if name == "cost_usd" else csv_texts(name, table[name]) for name in layout.csv_columns
        }
        return pa.table(columns)


def csv_texts(name: str, values: pa.ChunkedArray) -> pa.Array:
    """The cells that `results.csv` has for a column of `results.parquet`."""
    column = values.combine_chunks()
    if pa.types.is_floating(column.type):
        return _number_texts(column)
    if pa.types.is_integer(column.type):
        return column.cast(pa.string())
    if pa.types.is_decimal(column.type):
        return _decimal_texts(column)
    return column if name == "status" else cell_texts(column.fill_null(""))


def cell_texts(texts: pa.Array) -> pa.Array:
    """Texts that no spreadsheet takes for a formula: an apostrophe goes before what could be one. Numbers stay."""
    if pc.any(pc.match_substring(texts, "\x00")).as_py():
        texts = pc.replace_substring(texts, "\x00", "\ufffd")
    suspect = pc.match_substring_regex(texts, _FORMULA)
    if not pc.any(suspect).as_py():
        return texts
    suspect = pc.and_not(suspect, pc.match_substring_regex(texts, _NUMBER))
    marked = pc.binary_join_element_wise(pa.scalar("'", texts.type), texts, pa.scalar("", texts.type))
    return pc.if_else(suspect, marked, texts)


def _number_texts(values: pa.Array) -> pa.Array:
    """The shortest texts that read back as the same numbers; nothing where there is none."""
    encoded = pc.dictionary_encode(values)
    texts = [repr(value).removesuffix(".0") for value in encoded.dictionary.to_pylist()]
    return pa.array(texts, pa.string()).take(encoded.indices).fill_null("")


def _decimal_texts(values: pa.Array) -> pa.Array:
    encoded = pc.dictionary_encode(values)
    texts = [exact_usd(value) for value in encoded.dictionary.to_pylist()]
    return pa.array(texts, pa.string()).take(encoded.indices).fill_null("")


def _answers(batch: TrialBatch, criteria: Sequence[str]) -> dict[str, pa.Array]:
    texts, named = batch.responses.strings("text"), batch.responses.strings("criterion")
    places = {name: batch.responses.last(_equal(named, name))[batch.order] for name in criteria}
    return {f"answer.{name}": picked(texts, at) for name, at in places.items()}


def _scores(batch: TrialBatch, names: Sequence[str]) -> dict[str, pa.Array]:
    places = {name: batch.score_items(name)[batch.order] for name in names}
    fields = {"score": "value", "reason": "reason", "label": "label", "expected": "expected"}
    return {
        f"{shown}.{name}": picked(batch.scores.strings(field), at)
        for shown, field in fields.items()
        for name, at in places.items()
    }


def _failures(batch: TrialBatch) -> pa.Array:
    places = np.full(len(batch), -1, dtype=np.int64)
    places[batch.failed] = np.arange(len(batch.failed))
    return picked(batch.failures("kind"), places[batch.order])


def _distinct(responses: Lists, name: str, order: Whole) -> pa.Array:
    """The different values that a trial's answers have, one after the other with a space between."""
    encoded = pc.dictionary_encode(responses.strings(name))
    values, codes = encoded.dictionary.to_pylist(), _codes(encoded)
    return _by_pattern(responses, codes, lambda items: " ".join(dict.fromkeys(values[code] for code in items)), order)


def _by_pattern(responses: Lists, codes: Whole, said: Callable[[Sequence[int]], str], order: Whole) -> pa.Array:
    """A text per trial, made once for each different sequence of codes."""
    patterns, trials = responses.patterns(codes)
    texts = [said(_of(responses, codes, one)) for one in trials]
    return pa.array(texts, pa.string()).take(pa.array(patterns[order]))


def _costs(responses: Lists, prices: PriceTable) -> tuple[pa.Array, pa.Array]:
    """Per trial the sum for its answers as text and as a number; none where a price is unknown.

    Half a sum would pass for the whole.
    """
    codes, known = _prices(responses, prices)
    patterns, trials = responses.patterns(codes)
    sums = [_sum([known[code] for code in _of(responses, codes, one)]) for one in trials]
    texts = pa.array(["" if one is None else exact_usd(one) for one in sums], pa.string())
    exact = [None if one is None else one.quantize(_SMALLEST, context=_WIDE) for one in sums]
    return texts.take(pa.array(patterns)), pa.array(exact, _COST).take(pa.array(patterns))


def _sum(costs: Sequence[Decimal | None]) -> Decimal | None:
    known = [one for one in costs if one is not None]
    return sum(known, NO_COST) if known and len(known) == len(costs) else None


def _prices(responses: Lists, prices: PriceTable) -> tuple[Whole, list[Decimal | None]]:
    """What each answer itself costs, as a code and per code; for a cached one what it would cost now."""
    cached = responses.flags("cached")
    fields = [responses.strings(name) for name in ("cost_usd", "discarded_usd")]
    keys = pc.binary_join_element_wise(*fields, "|", null_handling="replace", null_replacement="?")
    if cached.any():
        usage = [pa.array(responses.whole("usage", name)).cast(pa.string()) for name in Usage.model_fields]
        again = pc.binary_join_element_wise(*usage, responses.strings("model"), "|")
        keys = pc.if_else(pa.array(cached), pc.binary_join_element_wise("cached", again, "|"), keys)
    encoded = pc.dictionary_encode(keys)
    return _codes(encoded), [_price(key, prices) for key in encoded.dictionary.to_pylist()]


def _price(key: str, prices: PriceTable) -> Decimal | None:
    first, rest = key.split("|", 1)
    if first == "cached":
        *tokens, model = rest.split("|", len(Usage.model_fields))
        return prices.cost(model, Usage(**dict(zip(Usage.model_fields, map(int, tokens), strict=True))))
    return None if "?" in (first, rest) else Decimal(first) - Decimal(rest)


def _of(items: Lists, codes: Whole, trial: int) -> list[int]:
    found: list[int] = codes[items.starts[trial] : items.starts[trial] + items.counts[trial]].tolist()
    return found


def _codes(encoded: pa.DictionaryArray) -> Whole:
    codes: Whole = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes


def _equal(column: pa.Array, text: str) -> npt.NDArray[np.bool_]:
    same: npt.NDArray[np.bool_] = pc.equal(column, text).fill_null(False).to_numpy(zero_copy_only=False)
    return same
