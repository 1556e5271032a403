"""The evaluation as one would write it first: one outcome after the other, records and plain Python.

Slow and plain; the tests hold the columns to it.
"""

import csv
import io
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from assay.llm.pricing import load_prices
from assay.planning.preflight import scorers_of
from assay.records import NO_COST, Outcome, Response, TrialStatus, Usage
from assay.run_records import Plan
from assay.suite.models import Suite

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")


def in_order(outcomes: Iterable[Outcome], plan: Plan) -> list[Outcome]:
    """Each trial's first outcome, by row, experiment and repeat."""
    first: dict[tuple[int, int, int], Outcome] = {}
    for one in outcomes:
        first.setdefault((one.row_number, plan.experiments.index(one.experiment), one.repeat), one)
    return [first[place] for place in sorted(first)]


def csv_text(outcomes: Sequence[Outcome], suite: Suite) -> str:
    """`results.csv`, cell by cell."""
    criteria = dict.fromkeys(name for one in suite.ordered for name in one.criterion_names)
    scores = [one.name for one in scorers_of(suite)]
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(
        [
            *("row_id", "row", "experiment", *(["repeat"] if suite.is_repeated else []), "status"),
            *(f"answer.{name}" for name in criteria),
            *(f"score.{name}" for name in scores),
            *("input_tokens", "output_tokens", "cost_usd", "model", "deployment", "finish_reason", "failure"),
        ]
    )
    for one in outcomes:
        answers = {response.criterion: response.text for response in one.responses}
        values = {score.name: score.value for score in one.scores}
        usage = sum((response.usage for response in one.responses), Usage())
        names = [
            " ".join(dict.fromkeys(getattr(response, name) for response in one.responses))
            for name in ("model", "deployment", "finish_reason")
        ]
        writer.writerow(
            [
                *(cell(one.row_id), one.row_number, cell(one.experiment)),
                *([one.repeat + 1] if suite.is_repeated else []),
                one.status.value,
                *(cell(answers.get(name, "")) for name in criteria),
                *(number(values.get(name)) for name in scores),
                *(usage.input_tokens, usage.output_tokens, cost(one.responses), *map(cell, names)),
                cell(one.failure.kind if one.failure else ""),
            ]
        )
    return out.getvalue()


def cell(text: str) -> str:
    clean = text.replace("\x00", "\ufffd")
    return f"'{clean}" if clean.startswith(FORMULA_STARTS) and not NUMBER.fullmatch(clean) else clean


def number(value: float | None) -> str:
    return "" if value is None else repr(float(value)).removesuffix(".0")


def cost(responses: Sequence[Response]) -> str:
    costs = [price(response) for response in responses]
    known = [one for one in costs if one is not None]
    return f"{sum(known, NO_COST).normalize():f}" if known and len(known) == len(costs) else ""


def price(response: Response) -> Decimal | None:
    if response.cached:
        return load_prices().cost(response.model, response.usage)
    if response.cost_usd is None or response.discarded_usd is None:
        return None
    return response.cost_usd - response.discarded_usd


def figures(outcomes: Sequence[Outcome], experiment: str, trials: int) -> dict[str, Any]:
    """What the report says of one experiment, by the names that its contents have."""
    mine = [one for one in outcomes if one.experiment == experiment]
    responses = [response for one in mine for response in one.responses]
    statuses = Counter(one.status.value for one in mine)
    return {
        "statuses": {**{one.value: statuses[one.value] for one in TrialStatus}, "without_outcome": trials - len(mine)},
        "usage": sum((one.usage for one in mine), Usage()),
        "cost_usd": sum((one.cost_usd for one in mine), NO_COST),
        "by_criterion": by_criterion(mine),
        "models": Counter(one.model for one in responses),
        "deployments": Counter(one.deployment for one in responses),
        "unpriced_models": {one.model for one in responses if one.cost_usd is None},
        "cached": sum(one.cached for one in responses),
        "reruns": sum(one.reruns for one in responses),
        "limited": sum(one.limit_sent is not None for one in responses),
        "scores": {
            (score.name, one.row_number, one.repeat): score.value
            for one in mine
            for score in one.scores
            if score.value is not None
        },
    }


def by_criterion(outcomes: Sequence[Outcome]) -> dict[str, tuple[Decimal, Decimal, int, int, int]]:
    """Spent, thrown away, answers, cached and unpriced, by criterion."""
    sums: dict[str, tuple[Decimal, Decimal, int, int, int]] = defaultdict(lambda: (NO_COST, NO_COST, 0, 0, 0))

    def add(criterion: str, *more: Any) -> None:
        sums[criterion] = tuple(one + other for one, other in zip(sums[criterion], more, strict=True))  # type: ignore[assignment]

    for one in outcomes:
        for answer in one.responses:
            lost = answer.discarded_usd or NO_COST
            unpriced = int(answer.cost_usd is None)
            add(answer.criterion, answer.cost_usd or NO_COST, lost, 1, int(answer.cached), unpriced)
        failure = one.failure
        if failure and (failure.cost_usd is None or failure.cost_usd):
            lost = failure.cost_usd or NO_COST
            add(failure.criterion or "", lost, lost, 0, 0, int(failure.cost_usd is None))
    return dict(sums)


def troubles(outcomes: Sequence[Outcome], *, blocked: bool) -> dict[str, tuple[int, list[int]]]:
    """How often each kind of failure came, and the rows of its first three trials."""
    found: dict[str, list[int]] = defaultdict(list)
    for one in outcomes:
        if one.failure and (one.status is TrialStatus.BLOCKED) == blocked:
            found[one.failure.kind].append(one.row_number)
    return {kind: (len(rows), rows[:3]) for kind, rows in found.items()}
