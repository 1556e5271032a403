"""Builders of records with sensible defaults, so that a test names only what it is about.

`triage_run` and `rating_run` are whole runs with realistic numbers; the same arguments give the same run.
"""

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Any

from assay.records import Attempt, BadRow, Failure, Outcome, Response, Row, Score, TrialStatus, Usage
from assay.run_records import DatasetReference, Plan, RowRange, RunHeader
from assay.suite.models import Suite

RUN = "support-triage-20261120-7f3ac2"
MODEL = "gpt-4o-mini-2024-07-18"
QUEUES = ("billing", "cancellation", "delivery", "technical")
LABEL_SCORER = {"plugin": "label_match", "name": "correct", "criterion": "queue", "path": "queue", "expected": "queue"}
RATING_SCORER = {"plugin": "json_score", "name": "helpfulness", "path": "score", "minimum": 0, "maximum": 10}

ROWS_PER_RANGE = 18


def suite(
    experiments: Sequence[str | Mapping[str, Any]] = ("plain", "think-first", "short"),
    scorers: Sequence[Mapping[str, Any]] = (LABEL_SCORER,),
    *,
    criteria: Sequence[str] = ("queue",),
    **changes: Any,
) -> Suite:
    """A suite whose first experiment is the baseline; an experiment is a name or a whole one."""
    content: dict[str, Any] = {
        "name": "support-triage",
        "description": "Which wording of the triage prompt sends most tickets to the right queue?",
        "seed": 7,
        "dataset": {"id": "ticket_id", "columns": ["subject", "body", "queue"]},
        "experiments": [
            experiment(one, criteria, baseline=at == 0) if isinstance(one, str) else dict(one)
            for at, one in enumerate(experiments)
        ],
        "scorers": list(scorers),
    }
    return Suite.model_validate(content | changes)


def experiment(name: str, criteria: Sequence[str] = ("queue",), *, baseline: bool = False) -> dict[str, Any]:
    """An experiment as a resolved suite holds it."""
    return {
        "name": name,
        "description": f"The {name} wording",
        "baseline": baseline,
        "model": {"deployment": "gpt-4o-mini", "temperature": 0, "max_tokens": 60, "json": True},
        "criteria": [{"name": criterion, "user": "Ticket {{ ticket_id }}: {{ subject }}"} for criterion in criteria],
    }


def run_header(of: Suite | None = None, **changes: Any) -> RunHeader:
    """The header of a run of that suite."""
    resolved = of or suite()
    content: dict[str, Any] = {
        "run": RUN,
        "suite_name": resolved.name,
        "suite": resolved.model_dump(mode="json", by_alias=True),
        "suite_source": f"version: 1\nname: {resolved.name}\n",
        "suite_sha256": "5d41402abc4b2a76b9719d911017c592ae1e0aa97b51ed29a3a5a1c2b7f0e6d4",
        "dataset": DatasetReference(
            path=f"inbox/{resolved.name}/tickets.csv",
            file="tickets.csv",
            etag="0x8DD0A1B2C3D4E5F",
            size=104_857,
            sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        ),
        "seed": resolved.seed,
        "created_at": datetime(2026, 11, 20, 9, 30, tzinfo=UTC),
        "versions": {"assay": "0.1.0", "git": "b49e0cb1", "python": "3.13.1"},
    }
    return RunHeader.model_validate(content | changes)


def plan(of: Suite | None = None, rows: int = 320, rows_per_range: int = ROWS_PER_RANGE, bad_rows: int = 0) -> Plan:
    """The plan of a run of that suite over so many rows; every row takes 100 bytes."""
    ranges = [
        RowRange(first_row=first, rows=min(rows_per_range, rows - first + 1), offset=(first - 1) * 100, length=100)
        for first in range(1, rows + 1, rows_per_range)
    ]
    return Plan(
        run=RUN,
        rows=rows,
        bad_rows=bad_rows,
        experiments=tuple(one.name for one in (of or suite()).ordered),
        repeats=tuple(one.repeats for one in of.ordered) if of and of.is_repeated else (),
        ranges=tuple(ranges),
    )


def row(number: int = 1, **fields: Any) -> Row:
    """A row of the dataset; its id is the one that `outcome` gives the same number."""
    return Row(row_id=row_id(number), number=number, line=number + 1, fields={"queue": "billing", **fields})


def row_id(number: int) -> str:
    return f"T-{number:04d}"


def response(
    text: str = '{"queue": "billing"}',
    criterion: str = "queue",
    *,
    model: str = MODEL,
    input_tokens: int = 180,
    output_tokens: int = 12,
    cost_usd: Decimal | str | None = "0.0000342",
    latency_seconds: float = 0.4,
    **changes: Any,
) -> Response:
    """A model's answer after one attempt."""
    content: dict[str, Any] = {
        "criterion": criterion,
        "text": text,
        "finish_reason": "stop",
        "model": model,
        "deployment": "gpt-4o-mini",
        "request_id": "req-0001",
        "usage": Usage(input_tokens=input_tokens, output_tokens=output_tokens),
        "cost_usd": cost_usd,
        "latency_seconds": latency_seconds,
        "attempts": (Attempt(number=1, status=200, request_id="req-0001"),),
    }
    return Response.model_validate(content | changes)


def outcome(
    number: int = 1,
    experiment: str = "plain",
    scores: Mapping[str, float | None] | None = None,
    *responses: Response,
    **changes: Any,
) -> Outcome:
    """A trial that succeeded: `scores` by name (default: correct), with one default response unless given."""
    given = {"correct": 1.0} if scores is None else scores
    content: dict[str, Any] = {
        "row_id": row_id(number),
        "row_number": number,
        "experiment": experiment,
        "status": TrialStatus.SUCCEEDED,
        "responses": responses or (response(),),
        "scores": [Score(name=name, value=value) for name, value in given.items()],
    }
    return Outcome.model_validate(content | changes)


def failed(
    number: int = 1,
    experiment: str = "plain",
    kind: str = "server_error",
    message: str = "The server had an error while processing your request.",
    *,
    status: TrialStatus = TrialStatus.FAILED,
    request_id: str | None = "req-0500",
) -> Outcome:
    """A trial without an answer."""
    failure = Failure(kind=kind, message=message, criterion="queue", status=500, request_id=request_id)
    return Outcome(row_id=row_id(number), row_number=number, experiment=experiment, status=status, failure=failure)


def blocked(number: int = 1, experiment: str = "plain") -> Outcome:
    """A trial that the content filter refused."""
    message = "The prompt triggered the content management policy (violence: medium)."
    return failed(number, experiment, "content_filter", message, status=TrialStatus.BLOCKED)


@dataclass(frozen=True)
class BuiltRun:
    """A whole run: what the evaluation is given. `groups` are the outcomes per row range, in the plan's order."""

    header: RunHeader
    suite: Suite
    plan: Plan
    groups: tuple[tuple[Outcome, ...], ...]
    rows: tuple[Row, ...]
    bad_rows: tuple[BadRow, ...] = ()

    @property
    def outcomes(self) -> Iterator[Outcome]:
        return (one for group in self.groups for one in group)


def triage_run(
    rows: int = 320, seed: int = 7, experiments: Mapping[str, tuple[float, float]] | None = None
) -> BuiltRun:
    """Tickets sorted into queues. `experiments` maps a name to its chance to be right on easy and on hard rows."""
    skills = experiments or {"plain": (0.93, 0.52), "think-first": (0.97, 0.76), "short": (0.92, 0.50)}
    of = suite(tuple(skills))
    trials = {name: _triage_trials(name, skill, rows, seed) for name, skill in skills.items()}
    bad = (
        BadRow(line=17, reason="column 'body' is empty", found="T-0912,web,starter,,,billing", row_id="T-0912"),
        BadRow(line=204, reason="the id 'T-0088' stands on line 89 too", found="T-0088,email", row_id="T-0088"),
    )
    return BuiltRun(
        run_header(of), of, (planned := plan(of, rows, bad_rows=2)), _grouped(planned, trials), _rows(rows, seed), bad
    )


def rating_run(rows: int = 120, seed: int = 11) -> BuiltRun:
    """Answers rated from 0 to 10; `rubric` rates a little lower, `terse` about the same; some answers are no rating."""
    shifts = {"plain": 0.0, "rubric": -0.6, "terse": 0.05}
    of = suite(
        tuple(shifts),
        (RATING_SCORER,),
        criteria=("rating",),
        name="answer-quality",
        description="Does a rubric move the ratings of draft answers?",
    )
    trials = {
        name: [_rated(name, shift, number, seed) for number in range(1, rows + 1)] for name, shift in shifts.items()
    }
    planned = plan(of, rows)
    return BuiltRun(run_header(of, run="answer-quality-20261120-90ab12"), of, planned, _grouped(planned, trials), ())


def in_groups(planned: Plan, outcomes: Sequence[Outcome]) -> tuple[tuple[Outcome, ...], ...]:
    """Outcomes as they are stored: one group per row range, in it by experiment in the plan's order, then by row."""
    order = {name: at for at, name in enumerate(planned.experiments)}
    groups: list[list[Outcome]] = [[] for _ in planned.ranges]
    first_rows = [at.first_row for at in planned.ranges]
    for one in sorted(outcomes, key=lambda one: (order[one.experiment], one.row_number)):
        groups[bisect_right(first_rows, one.row_number) - 1].append(one)
    return tuple(tuple(group) for group in groups)


def _grouped(planned: Plan, trials: Mapping[str, Sequence[Outcome]]) -> tuple[tuple[Outcome, ...], ...]:
    return in_groups(planned, [one for of_experiment in trials.values() for one in of_experiment])


def _rows(rows: int, seed: int) -> tuple[Row, ...]:
    return tuple(row(number, queue=_truth(number, seed)) for number in range(1, rows + 1))


def _truth(number: int, seed: int) -> str:
    return Random(f"{seed}:truth:{number}").choice(QUEUES)


def _triage_trials(name: str, skill: tuple[float, float], rows: int, seed: int) -> list[Outcome]:
    return [_sorted_ticket(name, skill, number, seed) for number in range(1, rows + 1)]


def _sorted_ticket(name: str, skill: tuple[float, float], number: int, seed: int) -> Outcome:
    """Hard rows are hard for everybody: one draw per row decides together with the experiment's skill."""
    shared, own = Random(f"{seed}:{number}"), Random(f"{seed}:{number}:{name}")
    hard, luck = shared.random() < 0.3, 0.65 * shared.random() + 0.35 * own.random()
    trouble = own.random()
    if number % 97 == 0:
        return blocked(number, name)
    if trouble < 0.006:
        return failed(number, name, "read_timeout", "No answer within 60 seconds.", request_id=f"req-{number:04d}")
    is_right = luck < skill[hard] - 0.02
    truth = _truth(number, seed)
    answer = truth if is_right else own.choice([queue for queue in QUEUES if queue != truth])
    text = json.dumps({"queue": answer})
    thinks = name == "think-first"
    if thinks:
        text = json.dumps({"wish": f"The customer wants their {answer} question settled.", "queue": answer})
    return outcome(number, name, {"correct": float(is_right)}, _answer(text, own, thinks=thinks))


def _answer(text: str, draw: Random, *, thinks: bool = False, criterion: str = "queue") -> Response:
    input_tokens, output_tokens = draw.randint(130, 320) + 60 * thinks, draw.randint(9, 14) + 28 * thinks
    cost = (Decimal(input_tokens) * Decimal("0.15") + Decimal(output_tokens) * Decimal("0.60")) / 1_000_000
    return response(
        text,
        criterion,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost_usd=cost,
        latency_seconds=round(draw.lognormvariate(-0.9, 0.35) * (1.6 if thinks else 1), 4),
        request_id=f"req-{draw.randrange(16**8):08x}",
    )


def _rated(name: str, shift: float, number: int, seed: int) -> Outcome:
    shared, own = Random(f"{seed}:{number}"), Random(f"{seed}:{number}:{name}")
    true = shared.triangular(0, 10, 7)
    rating = min(10, max(0, round(true + shift + own.gauss(0, 1.1))))
    if own.random() < 0.02:
        return outcome(number, name, {"helpfulness": None}, _answer("I would say seven.", own, criterion="rating"))
    text = json.dumps({"score": rating})
    return outcome(number, name, {"helpfulness": float(rating)}, _answer(text, own, criterion="rating"))
