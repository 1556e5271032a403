"""Judging: answers wait for nobody, are paid for once, and what has no answer is skipped."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from worker_bench import RUN, Clock, begin_run, outcomes_of, trial, worker

from assay.execution.job import ChunkTrial, Jobs
from assay.execution.judging import judgings_of
from assay.execution.ledger import read_outcomes, tally
from assay.execution.trial import Trial
from assay.execution.watchdog import Watchdog
from assay.execution.worker import JUDGE_LATER_SECONDS, POISON_QUEUE, Worker
from assay.llm.base import ModelError
from assay.llm.errors import FailureKind
from assay.llm.pricing import load_prices
from assay.llm.scripted import scripted_answer
from assay.middleware.base import Question, Reply, Spent, Unanswered
from assay.planning.judges.catalogue import judgements_of
from assay.records import Attempt, Outcome, TrialStatus
from assay.run_records import NOT_JUDGED, Plan, RunHeader
from assay.storage import layout
from assay.storage.memory import MemoryStorage
from assay.suite.models import Suite
from assay.telemetry import RecordingTelemetry
from builders import failed, outcome, response, run_header, suite

EXPERIMENTS = ("plain", "short")
GRADES = {"plugin": "llm_judge", "name": "helpfulness", "model": {"deployment": "gpt-4o"}, "rubric": "Kind?"}
CHOICE = {"plugin": "pairwise_judge", "name": "preferred", "model": {"deployment": "gpt-4o"}, "rubric": "Which?"}


def judged_suite() -> Suite:
    return suite(EXPERIMENTS, judges=[GRADES, CHOICE])


class Judge:
    """A judge's model: says what `verdict` gives for a question, and keeps the questions."""

    def __init__(self, verdict: Callable[[Question], Any] = lambda question: None) -> None:
        self.questions: list[Question] = []
        self._verdict = verdict

    async def __call__(self, question: Question) -> Reply:
        self.questions.append(question)
        await asyncio.sleep(0)
        verdict = self._verdict(question)
        if isinstance(verdict, Exception):
            raise verdict
        field, usual = ("preferred", "first") if question.experiment.startswith("preferred") else ("score", 4)
        answer = scripted_answer(json.dumps({"reasoning": "so", field: usual if verdict is None else verdict}))
        spent = Spent(answer.usage, load_prices().cost(answer.model, answer.usage))
        return Reply(answer, question.request.deployment, (Attempt(number=1, status=200),), spent=spent)


async def begin(storage: MemoryStorage, rows: int = 4, rows_per_chunk: int = 2) -> Plan:
    """A run whose plan has judgements, and none of whose chunks is done."""
    plan = await begin_run(storage, rows, rows_per_chunk)
    of = judged_suite()
    plan = plan.model_copy(update={"judgements": judgements_of(of)})
    header = run_header(of, run=RUN).model_dump_json(by_alias=True).encode()
    await storage.write(layout.header(RUN), header, overwrite=True)
    await storage.write(layout.plan(RUN), plan.model_dump_json().encode(), overwrite=True)
    return plan


async def answer(storage: MemoryStorage, plan: Plan, experiment: str, chunk: int = 0, *found: Outcome) -> None:
    """Ends a chunk of an experiment, with an answer to every row unless told otherwise."""
    message = plan.message(experiment, chunk)
    numbers = range(message.first_row, message.first_row + message.rows)
    done = found or [outcome(one, experiment, None, response(f"{experiment} says {one}")) for one in numbers]
    lines = b"".join(one.model_dump_json().encode() + b"\n" for one in done)
    await storage.write(layout.outcome(RUN, experiment, chunk), lines)


def judging_worker(
    storage: MemoryStorage, ask: Any, telemetry: RecordingTelemetry | None = None, concurrency: int = 8
) -> Worker:
    async def trials_of(header: RunHeader) -> dict[str, ChunkTrial]:
        of = Suite.model_validate(header.suite)

        def asked_by(judge: Any, asking: Any) -> Trial:
            return Trial(RUN, asking, (), (judge,), of.limits, ask, Watchdog(RecordingTelemetry()))

        return {one.name: trial(ask, of, one.name) for one in of.experiments} | judgings_of(of, storage, asked_by)

    made = worker(storage, ask, telemetry=telemetry, concurrency=concurrency)
    return replace(made, jobs=Jobs(storage, trials_of))


def body(plan: Plan, name: str, chunk: int = 0) -> str:
    return plan.message(name, chunk).model_dump_json()


async def judged(storage: MemoryStorage, plan: Plan, name: str, chunk: int = 0) -> list[Outcome]:
    return await outcomes_of(storage, plan.message(name, chunk))


async def test_every_answer_of_a_chunk_gets_its_grade() -> None:
    """An ordinary outcome: the judge's answer as its response, the grade as its score, what it cost."""
    storage, judge = MemoryStorage(), Judge()
    plan = await begin(storage)
    await answer(storage, plan, "short", 1)

    await judging_worker(storage, judge).handle(body(plan, "helpfulness~short", 1))

    found = await judged(storage, plan, "helpfulness~short", 1)
    assert [(one.row_number, one.experiment, one.status) for one in found] == [
        (3, "helpfulness~short", TrialStatus.SUCCEEDED),
        (4, "helpfulness~short", TrialStatus.SUCCEEDED),
    ]
    assert [(one.name, one.value, one.reason) for one in found[0].scores] == [("helpfulness", 4.0, "so")]
    assert found[0].cost_usd > 0
    shown = [one.request.messages[-1].content for one in judge.questions]
    assert "short says 3" in shown[0] and "short says 4" in shown[1]
    assert {one.request.deployment for one in judge.questions} == {"gpt-4o"}


async def test_a_preference_takes_two_questions_about_the_same_row_of_both() -> None:
    """The answers of the same row and repeat, in both orders."""
    storage, judge = MemoryStorage(), Judge(lambda one: "first" if one.criterion == "variant-first" else "second")
    plan = await begin(storage)
    for name in EXPERIMENTS:
        await answer(storage, plan, name)

    await judging_worker(storage, judge).handle(body(plan, "preferred~short"))

    found = await judged(storage, plan, "preferred~short")
    assert [[one.value for one in each.scores] for each in found] == [[1.0], [1.0]]
    assert [one.criterion for one in found[0].responses] == ["baseline-first", "variant-first"]
    of_first_row = [one.request.messages[-1].content for one in judge.questions if one.row_id == found[0].row_id]
    assert all("plain says 1" in one and "short says 1" in one for one in of_first_row) and len(of_first_row) == 2


async def test_a_chunk_whose_answers_are_missing_comes_again_later() -> None:
    """It is put back unclaimed, without counting as a failure, and asks nothing until then."""
    storage, judge, telemetry = MemoryStorage(), Judge(), RecordingTelemetry()
    plan = await begin(storage)
    await answer(storage, plan, "plain")
    mine = judging_worker(storage, judge, telemetry)

    await mine.handle(body(plan, "preferred~short"))

    assert judge.questions == []
    assert storage.messages(layout.TRIALS_QUEUE) == [body(plan, "preferred~short")]
    assert len(telemetry.named("chunk_put_back")) == 1 and JUDGE_LATER_SECONDS >= 1
    assert [one async for one in storage.list(layout.checkpoints(RUN))] == []
    await answer(storage, plan, "short")
    await mine.handle(body(plan, "preferred~short"))
    assert len(await judged(storage, plan, "preferred~short")) == 2


async def test_a_row_without_an_answer_is_skipped_and_says_why() -> None:
    """It costs nothing, and counts as neither failed nor judged."""
    storage, judge = MemoryStorage(), Judge()
    plan = await begin(storage)
    await answer(storage, plan, "plain", 0, failed(1, "plain"), outcome(2, "plain"))

    await judging_worker(storage, judge).handle(body(plan, "helpfulness~plain"))

    skipped, done = await judged(storage, plan, "helpfulness~plain")
    assert (skipped.status, done.status) == (TrialStatus.SKIPPED, TrialStatus.SUCCEEDED)
    assert skipped.failure is not None and skipped.failure.kind == NOT_JUDGED
    assert "experiment 'plain' failed (server_error)" in skipped.failure.message
    counted = tally([skipped, done])
    assert (counted.skipped, counted.succeeded, counted.failed, len(judge.questions)) == (1, 1, 0, 1)


async def test_one_missing_side_leaves_a_pair_unjudged() -> None:
    """Half a pair is no pair."""
    storage, judge = MemoryStorage(), Judge()
    plan = await begin(storage)
    await answer(storage, plan, "plain", 0, failed(1, "plain"), failed(2, "plain"))
    await answer(storage, plan, "short")

    await judging_worker(storage, judge).handle(body(plan, "preferred~short"))

    assert {one.status for one in await judged(storage, plan, "preferred~short")} == {TrialStatus.SKIPPED}
    assert judge.questions == []


async def test_equal_answers_are_a_tie_that_costs_nothing() -> None:
    """A succeeded outcome without a response."""
    storage, judge = MemoryStorage(), Judge()
    plan = await begin(storage)
    for name in EXPERIMENTS:
        same = [outcome(number, name, None, response("same")) for number in (1, 2)]
        await answer(storage, plan, name, 0, *same)

    await judging_worker(storage, judge).handle(body(plan, "preferred~short"))

    found = await judged(storage, plan, "preferred~short")
    assert [(one.status, one.responses, one.scores[0].value) for one in found] == [(TrialStatus.SUCCEEDED, (), 0.5)] * 2


async def test_a_judge_that_fails_leaves_a_failed_outcome() -> None:
    """With the failure's class, as any trial: the score is missing, not bad."""
    error = Unanswered(ModelError(FailureKind.INVALID_ANSWER, "does not fit"), ())
    storage, judge = MemoryStorage(), Judge(lambda one: error)
    plan = await begin(storage)
    await answer(storage, plan, "plain")

    await judging_worker(storage, judge).handle(body(plan, "helpfulness~plain"))

    found = await judged(storage, plan, "helpfulness~plain")
    assert [(one.status, one.failure and one.failure.kind, one.scores) for one in found] == [
        (TrialStatus.FAILED, "invalid_answer", ())
    ] * 2


async def test_a_worker_killed_while_judging_pays_for_nothing_twice() -> None:
    """What is safe in the checkpoint is not asked again by whoever takes the chunk over."""
    storage = MemoryStorage()
    plan = await begin(storage)
    await answer(storage, plan, "plain")
    stuck = asyncio.Event()

    class Stuck(Judge):
        async def __call__(self, question: Question) -> Reply:
            reply = await super().__call__(question)
            if len(self.questions) > 1:
                stuck.set()
                await asyncio.Event().wait()
            return reply

    first, second = Stuck(), Judge()
    killed = judging_worker(storage, first, concurrency=1)
    work = asyncio.create_task(killed.handle(body(plan, "helpfulness~plain")))
    await stuck.wait()
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)

    mine = judging_worker(storage, second)
    await mine.handle(body(plan, "helpfulness~plain"))
    await mine.handle(body(plan, "helpfulness~plain"))

    assert len(second.questions) == 1
    assert [one.row_number for one in await judged(storage, plan, "helpfulness~plain")] == [1, 2]


async def test_a_poisoned_judgement_ends_as_failed_outcomes() -> None:
    """So that the run ends, whatever is wrong with the judge's chunk."""
    storage = MemoryStorage()
    plan = await begin(storage)

    await judging_worker(storage, Judge()).bury(body(plan, "helpfulness~short"))

    found = await judged(storage, plan, "helpfulness~short")
    assert [one.failure and one.failure.kind for one in found] == ["poisoned", "poisoned"]


async def test_a_judgement_that_the_plan_does_not_have_is_refused() -> None:
    """Before anything is read under its name."""
    storage = MemoryStorage()
    plan = await begin(storage)
    message = plan.message("helpfulness~short", 0).model_copy(update={"experiment": "kindness~short"})

    assert await judging_worker(storage, Judge()).handle(message.model_dump_json()) is None
    assert storage.messages(POISON_QUEUE) == [message.model_dump_json()]


async def test_a_whole_run_judges_every_trial() -> None:
    """Whatever order its messages come in: one outcome per row and name, as those that come too early come again."""
    clock = Clock()
    storage = MemoryStorage(clock)
    plan = await begin(storage, rows=6, rows_per_chunk=1)
    mine = judging_worker(storage, Judge())
    waiting = [one.model_dump_json() for one in plan.messages(0, plan.chunks)]
    while waiting:
        for one in reversed(waiting):
            await mine.handle(one)
        clock.seconds += JUDGE_LATER_SECONDS
        waiting = storage.take_messages(layout.TRIALS_QUEUE)
    paths = [one.path async for one in storage.list(layout.outcomes(RUN))]
    found = [one for path in paths for one in read_outcomes(await storage.read(path))]
    assert len(found) == plan.trials + plan.judged_trials == 6 * 5
    assert len({(one.experiment, one.row_number) for one in found}) == 30
