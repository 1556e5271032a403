"""The evaluation in columns says what an evaluation row by row says, of any outcomes in any order."""

from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from row_by_row import csv_text, figures, in_order, troubles

from assay.planning.preflight import scorers_of
from assay.records import Failure, Outcome, Response, Score, TrialStatus, Usage
from assay.reporting.columns import BatchFigures
from assay.reporting.evaluation import evaluate
from assay.reporting.finished_run import FinishedRun
from assay.reporting.gathering import Gathered, gather
from assay.reporting.outcome_files import OutcomeFiles, RawBatch
from assay.reporting.trials import TrialBatch
from builders import LABEL_SCORER, MODEL, RATING_SCORER, experiment, outcome, plan, run_header, suite, triage_run
from evaluations import store

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]

ROWS, CRITERIA = 7, ("queue", "mood")
SUITE = suite(
    [{**experiment("plain", CRITERIA, baseline=True), "repeats": 2}, experiment("short", CRITERIA)],
    (LABEL_SCORER, {**RATING_SCORER, "criterion": "mood"}),
)
PLAN = plan(SUITE, ROWS, rows_per_range=3)

texts = st.sampled_from(
    ["", "=1+1", "-5", "-x", "a\x00b", 'say "no"\r\n', "＝1", "+7e3", "٣", "-٣", "x,y", "😀"]
) | st.text(max_size=12)
money = st.sampled_from([None, "0", "0E-9", "3.4E-8", "0.000034200", "1.5", "12.000000001"])
tokens = st.builds(
    Usage, input_tokens=st.integers(0, 900), cached_input_tokens=st.just(0), output_tokens=st.integers(0, 90)
)
responses = st.builds(
    Response,
    criterion=st.sampled_from(CRITERIA),
    text=texts,
    finish_reason=st.sampled_from(["stop", "length"]),
    model=st.sampled_from([MODEL, "novel-9"]),
    deployment=st.sampled_from(["gpt-4o-mini", "large@west"]),
    request_id=st.none(),
    usage=tokens,
    cost_usd=money.map(lambda one: None if one is None else Decimal(one)),
    latency_seconds=st.floats(0, 60),
    discarded=tokens,
    discarded_usd=st.sampled_from([Decimal(0), Decimal("0.000000001"), None]),
    cached=st.booleans(),
    reruns=st.integers(0, 2),
    limit_sent=st.none() | st.integers(1, 50),
)
failures = st.builds(
    Failure,
    kind=st.sampled_from(["server_error", "content_filter"]),
    message=texts,
    criterion=st.sampled_from([None, *CRITERIA]),
    usage=tokens,
    cost_usd=st.sampled_from([None, Decimal(0), Decimal("0.25")]),
)


@st.composite
def scores(draw: st.DrawFn) -> tuple[Score, ...]:
    correct = st.none() | st.sampled_from([0.0, 1.0])
    helpful = st.none() | st.sampled_from([0.0, 0.1, 7.0, 1e-7]) | st.floats(0, 10, allow_subnormal=False)
    found = [Score(name="correct", value=draw(correct)), Score(name="helpfulness", value=draw(helpful), reason="why")]
    return tuple(found[: draw(st.integers(0, 2))])


@st.composite
def outcomes(draw: st.DrawFn) -> Outcome:
    name, status = draw(st.sampled_from(["plain", "short"])), draw(st.sampled_from(list(TrialStatus)))
    succeeded = status is TrialStatus.SUCCEEDED
    number = draw(st.integers(1, ROWS))
    return Outcome(
        row_id=f"{draw(texts)}{number}",
        row_number=number,
        experiment=name,
        repeat=draw(st.integers(0, 1)) if name == "plain" else 0,
        status=status,
        responses=tuple(draw(st.lists(responses, min_size=int(succeeded), max_size=3))),
        scores=draw(scores()) if succeeded else (),
        failure=None if succeeded else draw(failures),
    )


@settings(max_examples=25, deadline=None, phases=[Phase.explicit, Phase.generate], suppress_health_check=SLOW)
@given(st.lists(outcomes(), max_size=25))
def test_columns_say_what_is_said_row_by_row(found: list[Outcome]) -> None:
    """Rule: results.csv byte by byte, and every count, sum, score and sample of the contents."""
    with TemporaryDirectory() as folder:
        stored = store(found, PLAN, Path(folder))
        contents = evaluate(FinishedRun(run_header(SUITE), SUITE, stored), results=Path(folder))
        written = (Path(folder) / "results.csv").read_bytes()
        gathered = gather(stored, [one.name for one in scorers_of(SUITE)])

    expected = in_order(found, PLAN)
    assert written == csv_text(expected, SUITE).encode()
    unpriced = set()
    for one in contents.experiments:
        columns = gathered.columns.experiments[one.name]
        right = figures(expected, one.name, ROWS * columns.repeats)
        unpriced |= right["unpriced_models"]
        assert said(one) == {name: right[name] for name in said(one)}
        placed = {
            (name, at // columns.repeats + 1, at % columns.repeats): float(value)
            for name, values in columns.scores.items()
            for at, value in enumerate(values)
            if value == value  # NaN is not
        }
        assert placed == right["scores"]
    assert set(contents.prices.unpriced_models) == unpriced
    for groups, blocked in ((contents.failures, False), (contents.blocked, True)):
        assert {group.kind: (group.count, [at.row_number for at in group.samples]) for group in groups} == troubles(
            expected, blocked=blocked
        )


def said(result: Any) -> dict[str, Any]:
    """What the contents say of an experiment, as `figures` says it."""
    return {
        "statuses": result.statuses.model_dump(),
        "usage": result.usage,
        "cost_usd": result.cost_usd,
        "by_criterion": {
            name: (cost.spent_usd, cost.discarded_usd, cost.answers, cost.cached, cost.unpriced)
            for name, cost in result.by_criterion.items()
        },
        "models": result.models,
        "deployments": result.deployments,
        "cached": result.shortcuts.cached,
        "reruns": result.shortcuts.reruns,
        "limited": result.shortcuts.limited,
    }


def test_ranges_of_huge_answers_are_prepared_one_after_the_other(tmp_path: Path, monkeypatch: Any) -> None:
    """Rule: never more bytes in memory than a bound, or than one range has; all outcomes are taken in nevertheless."""
    stored = store([outcome(row, "plain", {}) for row in range(1, ROWS + 1)], PLAN, tmp_path)
    held: list[int] = []
    parsed, add = RawBatch.parsed, Gathered.add

    def noted(raw: RawBatch) -> TrialBatch:
        held.append(raw.size)
        return parsed(raw)

    def added(gathered: Gathered, batch: TrialBatch, figures: BatchFigures) -> None:
        assert len(held) == 1
        held.clear()
        add(gathered, batch, figures)

    monkeypatch.setattr(OutcomeFiles.batches, "__defaults__", (1,))
    monkeypatch.setattr("assay.reporting.gathering.MOST_HELD_BYTES", 1)
    monkeypatch.setattr(RawBatch, "parsed", noted)
    monkeypatch.setattr(Gathered, "add", added)

    gathered = gather(stored, [])

    assert gathered.columns.experiments["plain"].count(TrialStatus.SUCCEEDED) == ROWS


def test_how_the_batches_are_cut_changes_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    """Rule: the same bytes for one batch of all ranges and for a batch per range."""
    run = triage_run(rows=200)
    stored = store(run.outcomes, run.plan, tmp_path)
    written = []
    for most_bytes in (1, 100_000_000):
        monkeypatch.setattr(OutcomeFiles.batches, "__defaults__", (most_bytes,))
        folder = tmp_path / str(most_bytes)
        folder.mkdir()
        contents = evaluate(FinishedRun(run.header, run.suite, stored), run.rows, folder)
        written.append({path.name: path.read_bytes() for path in folder.iterdir()} | {"": contents.model_dump_json()})

    assert written[0] == written[1]
