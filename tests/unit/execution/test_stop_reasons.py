"""Which failures stop a run, and which may be those of one deployment, one call or one limit."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from typing import Any

import pytest
from asking_bench import QUESTION, Bench, failing
from program_bench import Replies, program_trial, reply
from worker_bench import chunk_rows

from assay.errors import RunStopped
from assay.execution.asking import Asker
from assay.execution.stop_reasons import ELSEWHERE_STOPS_AFTER
from assay.llm.base import ChatAnswer, ChatRequest
from assay.llm.errors import TAXONOMY, FailureKind
from assay.llm.scripted import scripted_answer
from assay.middleware.answer_lengths import COHORT
from assay.middleware.answer_limits import AnswerLimits
from assay.middleware.base import Question, Unanswered
from assay.telemetry import RecordingTelemetry

REFUSED = failing(FailureKind.UNSUPPORTED_SETTING, status=400)
LONG = replace(QUESTION, request=replace(QUESTION.request, max_tokens=1_000))
BUSY = failing(FailureKind.UNITS_BUSY, status=429)


async def stays_unanswered(asker: Asker, question: Question = QUESTION) -> None:
    with pytest.raises(Unanswered):
        await asker(question)


async def test_a_setting_that_only_a_fallback_refuses_does_not_stop_the_run_at_once() -> None:
    """Its model is another one; the experiment's own deployment answers the next question."""
    refusals = ELSEWHERE_STOPS_AFTER - 1
    bench = Bench(
        scripts={"chat": [*[BUSY] * refusals, "Hello.", *[BUSY] * refusals], "other": [REFUSED] * 2 * refusals},
        rungs=(("chat",), ("other",)),
    )
    asker = bench.asker()
    for _ in range(refusals):
        await stays_unanswered(asker)
    await asker(QUESTION)
    for _ in range(refusals):
        await stays_unanswered(asker)


async def test_a_fallback_that_refuses_every_question_stops_the_run() -> None:
    """Or all its rows would fail; the advice names the fallback."""
    bench = Bench(scripts={"chat": [BUSY] * 3, "other": [REFUSED] * 3}, rungs=(("chat",), ("other",)))
    asker = bench.asker()
    for _ in range(ELSEWHERE_STOPS_AFTER - 1):
        await stays_unanswered(asker)
    with pytest.raises(RunStopped, match=r"'other' ended with unsupported_setting.* If it is a fallback"):
        await asker(QUESTION)


async def test_a_setting_that_any_deployment_of_the_experiment_refuses_stops_the_run_at_once() -> None:
    """Those of `spread` have the same model."""
    bench = Bench(scripts={"chat": [BUSY], "west": [REFUSED]}, rungs=(("chat", "west"),))
    with pytest.raises(RunStopped, match="'west' ended with unsupported_setting"):
        await bench.ask()


async def test_a_setting_of_one_call_of_a_program_does_not_stop_the_run_at_once() -> None:
    """The next call may say what the suite says."""
    asker = Bench(REFUSED, REFUSED, "Hello.", REFUSED).asker()
    varied = replace(QUESTION, is_varied=True)
    await stays_unanswered(asker, varied)
    await stays_unanswered(asker, varied)
    await asker(varied)
    with pytest.raises(RunStopped):
        await asker(QUESTION)


async def test_a_call_is_varied_where_its_settings_are_not_the_suite_s() -> None:
    """Other words, and options that say what the suite says, vary nothing."""
    asked = Replies([reply(), reply(), reply()])

    def program(row: Any, model: Any) -> str:
        model.ask("One.")
        model.ask("Two.", temperature=0, seed=None)
        return str(model.ask("Three.", temperature=0.5))

    await program_trial(program, asked).run(chunk_rows(1)[0])
    assert [question.is_varied for question in asked.questions] == [False, False, True]


@pytest.mark.parametrize("kind", [FailureKind.MAX_TOKENS_SPENT, FailureKind.INVALID_REQUEST])
async def test_what_a_learned_limit_may_have_caused_does_not_stop_the_run(kind: FailureKind) -> None:
    """Many at once fail under it before the first of them, asked again at the suite's own limit, is answered."""
    many = 2 * (TAXONOMY[kind].stops_after or 0)
    bench, limits = Bench(*["Hello."] * COHORT), AnswerLimits(RecordingTelemetry(), {"chat"})
    asker = bench.asker(on_exhausted=lambda *_: pytest.fail("they are all answered"))
    for _ in range(COHORT):
        await limits.answer(LONG, asker)
    failed, all_failed = itertools.count(1), asyncio.Event()

    async def complete(request: ChatRequest) -> ChatAnswer:
        if request.max_tokens < LONG.request.max_tokens:
            if next(failed) == many:
                all_failed.set()
            raise failing(kind, status=400)
        await all_failed.wait()
        return scripted_answer("Hello.")

    bench.model.complete = complete
    replies = await asyncio.gather(*(limits.answer(LONG, asker) for _ in range(many)))

    assert [reply.reruns for reply in replies] == [1] * many
    assert bench.telemetry.named("attempts_exhausted") == []


async def test_what_fails_at_the_suite_s_own_limit_too_stops_the_run() -> None:
    """Once more cannot help it."""
    many = TAXONOMY[FailureKind.MAX_TOKENS_SPENT].stops_after or 0
    bench = Bench(*["Hello."] * COHORT, *[failing(FailureKind.MAX_TOKENS_SPENT)] * 2 * many)
    asker, limits = bench.asker(), AnswerLimits(RecordingTelemetry(), {"chat"})
    for _ in range(COHORT):
        await limits.answer(LONG, asker)
    for _ in range(many - 1):
        with pytest.raises(Unanswered):
            await limits.answer(LONG, asker)
    with pytest.raises(RunStopped, match="max_tokens_spent"):
        await limits.answer(LONG, asker)
