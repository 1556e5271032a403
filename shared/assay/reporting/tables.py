"""Results as tables: `results.csv` for people and spreadsheets, `results.jsonl` with everything. Reports call it.

Both stream: they take the outcomes in groups, one per row range, so that one group is all they hold.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import IO

import pandas as pd

from assay.llm.pricing import PriceTable, load_prices
from assay.planning.preflight import scorers_of
from assay.records import NO_COST, Outcome, Response, Usage
from assay.suite.models import Suite

Groups = Iterable[Sequence[Outcome]]
"""All outcomes of one row range, range by range and within it experiment by experiment in the plan's order."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")


def write_results_csv(groups: Groups, suite: Suite, path: Path, prices: PriceTable | None = None) -> None:
    """Writes one line per trial, by row, experiment (the baseline first) and repeat; replaces the file.

    Says only what the same answers always give: no times, attempts, request ids or messages, and the tokens and the
    price of the answers themselves, whether they came from the cache or after others that were paid for and thrown
    away; the bill is the report's. The same outcomes give the same bytes, however they were arrived at. `prices` are
    those that costs were made with; absent, the shipped ones. UTF-8, every cell quoted as RFC 4180 says, formulas
    neutralised.
    """
    criteria = criteria_of(suite)
    scores = score_names(suite)
    known = prices or load_prices()
    with path.open("w", encoding="utf-8", newline="") as file:
        _append(file, [_header(criteria, scores, suite)])
        for group in groups:
            _append(file, [_cells(one, criteria, scores, known, suite) for one in in_order([group])])


def write_results_jsonl(groups: Groups, path: Path) -> None:
    """Writes every outcome whole, in the order of the CSV, with its `rank` in that order from 1; replaces the file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        for rank, one in enumerate(in_order(groups), start=1):
            file.write(f'{{"rank":{rank},{one.model_dump_json()[1:]}\n')


def in_order(groups: Groups) -> Iterator[Outcome]:
    """Outcomes by row number, and within a row by experiment as the group has them: the baseline first."""
    for group in groups:
        yield from sorted(group, key=lambda one: one.row_number)


def criteria_of(suite: Suite) -> tuple[str, ...]:
    """The names of all criteria, in the order in which the experiments bring them up."""
    names = (name for experiment in suite.ordered for name in experiment.criterion_names)
    return tuple(dict.fromkeys(names))


def score_names(suite: Suite) -> tuple[str, ...]:
    """The names of all scores, in the order of the suite's scorers."""
    return tuple(scorer.name for scorer in scorers_of(suite))


def cell_text(text: str) -> str:
    """Text that no spreadsheet takes for a formula: an apostrophe goes before what could be one. Numbers stay."""
    clean = text.replace("\x00", "\ufffd")
    return f"'{clean}" if clean.startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(clean) else clean


def _header(criteria: tuple[str, ...], scores: tuple[str, ...], suite: Suite) -> list[str]:
    return [
        *("row_id", "row", "experiment", *(["repeat"] if suite.is_repeated else []), "status"),
        *(f"answer.{criterion}" for criterion in criteria),
        *(f"score.{score}" for score in scores),
        *("input_tokens", "output_tokens", "cost_usd", "model", "deployment", "finish_reason", "failure"),
    ]


def _cells(
    one: Outcome, criteria: tuple[str, ...], scores: tuple[str, ...], prices: PriceTable, suite: Suite
) -> list[str]:
    answers = {response.criterion: response.text for response in one.responses}
    values = {score.name: score.value for score in one.scores}
    usage = sum((response.usage for response in one.responses), Usage())
    return [
        *(cell_text(one.row_id), str(one.row_number), cell_text(one.experiment)),
        *([str(one.repeat + 1)] if suite.is_repeated else []),
        one.status.value,
        *(cell_text(answers.get(criterion, "")) for criterion in criteria),
        *(_number(values.get(score)) for score in scores),
        *(str(usage.input_tokens), str(usage.output_tokens), _cost(one.responses, prices)),
        *(cell_text(_distinct(response.model for response in one.responses)),),
        *(cell_text(_distinct(response.deployment for response in one.responses)),),
        *(cell_text(_distinct(response.finish_reason for response in one.responses)),),
        cell_text(one.failure.kind if one.failure else ""),
    ]


def _number(value: float | None) -> str:
    """The shortest text that reads back as the same number."""
    return "" if value is None else repr(float(value)).removesuffix(".0")


def _cost(responses: Sequence[Response], prices: PriceTable) -> str:
    """The sum for a trial's answers, or nothing when a price is unknown: half a sum would pass for the whole."""
    costs = [_price(response, prices) for response in responses]
    known = [cost for cost in costs if cost is not None]
    return f"{sum(known, NO_COST).normalize():f}" if known and len(known) == len(costs) else ""


def _price(response: Response, prices: PriceTable) -> Decimal | None:
    """What the answer itself costs: for a cached one what it would cost now."""
    if response.cached:
        return prices.cost(response.model, response.usage)
    if response.cost_usd is None or response.discarded_usd is None:
        return None
    return response.cost_usd - response.discarded_usd


def _distinct(values: Iterable[str]) -> str:
    return " ".join(dict.fromkeys(values))


def _append(file: IO[str], lines: list[list[str]]) -> None:
    """All cells quoted: with fewer quotes a lone carriage return in a cell is no longer a cell's in some readers."""
    table = pd.DataFrame(lines, dtype=str)
    table.to_csv(file, index=False, header=False, quoting=csv.QUOTE_ALL, lineterminator="\n")
