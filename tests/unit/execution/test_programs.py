"""A trial of a program: its calls are questions like any other, and whatever it does there is one outcome."""

from __future__ import annotations

import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from program_bench import Replies, program_suite, program_trial, reply
from test_trial import exhausted
from worker_bench import Asked, chunk_rows

from assay.errors import ModelUnavailable, RunStopped
from assay.execution.course import course_here
from assay.execution.program_answers import ProgramFailed, answer_text
from assay.execution.program_threads import ProgramThreads
from assay.execution.trial import Trial
from assay.llm.errors import FailureKind
from assay.middleware.base import Question, Reply, Spent, Unanswered
from assay.programs.model import ProgramEnded
from assay.quota.base import QuotaElsewhere
from assay.records import Failure, Outcome, TrialStatus, Usage
from assay.sources.base import MAX_CELL_CHARACTERS
from assay.telemetry import RecordingTelemetry
from virtual_loop import run_virtually

ROW = chunk_rows(1)[0]


def two_steps(row: Any, model: Any) -> str:
    first = model.ask(f"Sort: {row['subject']}")
    return f"{model.ask([{'role': 'system', 'content': 'Check.'}, {'role': 'user', 'content': first}])}!"


async def two_awaited_steps(row: Any, model: Any) -> str:
    first = await model.ask(f"Sort: {row['subject']}")
    return f"{await model.ask([{'role': 'system', 'content': 'Check.'}, {'role': 'user', 'content': first}])}!"


async def failure_of(trial: Trial) -> Failure:
    outcome = await trial.run(ROW)
    assert outcome.status is TrialStatus.FAILED and outcome.failure is not None
    return outcome.failure


async def all_back(threads: ProgramThreads) -> None:
    """Until no thread is left behind; the test's own time limit bounds it."""
    while threads.left:  # noqa: ASYNC110 - threads have no event to wait for
        await asyncio.sleep(0)


@pytest.mark.parametrize("program", [two_steps, two_awaited_steps])
async def test_a_program_asks_as_often_as_it_likes_and_gives_one_answer(program: Any) -> None:
    """Its questions carry run, experiment, row and the experiment's model; usage, cost and time are sums."""
    asked = Replies([reply("billing", tokens=5), reply("delivery", tokens=7)])

    outcome = await program_trial(program, asked).run(ROW)

    first, second = asked.questions
    assert (first.experiment, first.criterion, first.row_id) == ("agent", "answer", ROW.row_id)
    request = first.request
    assert (request.deployment, request.max_tokens, request.temperature, request.seed) == ("gpt-4o-mini", 60, 0, 3)
    assert [(one.role, one.content) for one in second.request.messages] == [("system", "Check."), ("user", "billing")]
    (response,) = outcome.responses
    assert (response.criterion, response.text, response.finish_reason) == ("answer", "delivery!", "stop")
    assert response.usage == Usage(input_tokens=20, output_tokens=12)
    assert (response.cost_usd, response.latency_seconds, response.quota_wait_seconds) == (Decimal(1), 2.0, 4.0)
    assert (len(response.attempts), response.deployment, response.cached) == (2, "gpt-4o-mini", False)
    assert response.model == "gpt-4o-mini-2024-07-18"


async def test_a_call_may_say_its_own_parameters() -> None:
    """What it does not say, or says as None, is the experiment's."""
    asked = Replies([reply()])

    def program(row: Any, model: Any) -> str:
        said = {
            "max_tokens": 9,
            "temperature": 0.7,
            "seed": None,
            "json": True,
            "stop": ["END"],
            "reasoning_effort": "low",
        }
        answer = model.call("Hello?", schema=None, **said)
        return f"{answer.text} {answer.input_tokens} {answer.output_tokens} {answer.finish_reason}"

    outcome = await program_trial(program, asked).run(ROW)

    request = asked.questions[0].request
    assert (request.max_tokens, request.temperature, request.seed, request.json) == (9, 0.7, 3, True)
    assert (request.stop, request.reasoning_effort) == (("END",), "low")
    assert outcome.responses[0].text == "ok 10 5 stop"


async def test_a_schema_reaches_the_question() -> None:
    """The chain has the answer checked and repaired as that of any question."""
    asked = Replies([reply()])
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    schema["additionalProperties"] = False

    await program_trial(lambda row, model: model.ask("Hello?", schema=schema), asked).run(ROW)

    found = asked.questions[0].request.schema
    assert found is not None and '"required":["a"]' in found.text


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m: m.ask("Hello?", max_token=3), "there is no option 'max_token'. Did you mean 'max_tokens'"),
        (lambda m: m.ask("Hello?", max_tokens=0), "max_tokens is 0; expected a whole number of at least 1"),
        (lambda m: m.ask("Hello?", temperature=3), "temperature is 3; expected a number from 0 to 2"),
        (
            lambda m: m.ask("Hello?", reasoning_effort="most"),
            "reasoning_effort is 'most'; expected one of none, minimal",
        ),
        (lambda m: m.ask("Hello?", schema={"type": "text"}), "schema: "),
        (lambda m: m.ask([]), "expected text, or a list of at least one message"),
        (lambda m: m.ask([{"role": "tool", "content": "x"}]), "a message has role 'tool'"),
        (lambda m: m.ask(["Hello?"]), "a message is of type str"),
    ],
)
async def test_what_no_model_can_be_asked_is_said_to_the_program(call: Any, said: str) -> None:
    """Nothing is sent."""
    asked = Replies([])

    failure = await failure_of(program_trial(lambda row, model: call(model), asked))

    assert failure.kind == "program"
    assert failure.message.startswith("BadCall: ") and said in failure.message
    assert asked.questions == []


async def test_a_mapping_becomes_canonical_json() -> None:
    """So that scorers can look into it with a path, and equal answers are equal texts."""

    async def program(row: Any, model: Any) -> Any:
        return {"queue": "büro", "at": [1, 2.5, None, True], "a": {"y": 1, "x": ()}}

    outcome = await program_trial(program).run(ROW)

    assert outcome.responses[0].text == '{"a":{"x":[],"y":1},"at":[1,2.5,null,true],"queue":"büro"}'


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "the program returned None; expected text or a mapping"),
        (float("nan"), "the program returned float nan"),
        ([1], "the program returned list [1]"),
        (b"x", "the program returned bytes b'x'"),
        ({"a": [float("nan")]}, "no JSON: a[0] is nan, which is no number in JSON"),
        ({"a": {"b": object}}, "no JSON: a.b is of type type"),
        ({"a": {1: 2}}, "a has the key 1 of type int"),
        ({"a": Decimal(1)}, "a is of type decimal.Decimal"),
    ],
)
async def test_whatever_else_comes_back_is_a_failure_that_names_it(value: Any, said: str) -> None:
    """What was paid until then stays in the bill."""

    def program(row: Any, model: Any) -> Any:
        model.ask("Hello?")
        return value

    failure = await failure_of(program_trial(program, Replies([reply()])))

    assert failure.kind == "program" and said in failure.message
    assert (failure.cost_usd, failure.usage.input_tokens, len(failure.attempts)) == (Decimal("0.5"), 10, 1)


def test_an_answer_that_contains_itself_is_refused() -> None:
    """Without an end of the worker's stack."""
    endless: dict[str, Any] = {}
    endless["again"] = endless
    with pytest.raises(ProgramFailed, match="nested deeper than 100 levels"):
        answer_text(endless)


def test_an_answer_that_is_too_long_to_keep_is_refused() -> None:
    """A mapping by the text that it becomes; what storage refuses would be paid for again with every delivery."""
    assert len(answer_text("x" * MAX_CELL_CHARACTERS)) == MAX_CELL_CHARACTERS
    for answer in ("x" * (MAX_CELL_CHARACTERS + 1), {"text": "x" * MAX_CELL_CHARACTERS}):
        with pytest.raises(ProgramFailed, match=r"returned 1,000,0\d\d characters; at most 1,000,000 are kept"):
            answer_text(answer)


async def test_an_exception_is_the_row_s_failure_with_the_program_s_own_last_line() -> None:
    """Type, message and line; secrets are redacted, money spent before is counted."""

    def program(row: Any, model: Any) -> str:
        model.ask("Hello?")
        raise ValueError("no queue for anna@example.com")

    failure = await failure_of(
        program_trial(program, Replies([reply()]), redact=lambda text: text.replace("anna", "*"))
    )

    assert failure.kind == "program"
    assert failure.message.startswith("ValueError: no queue for *@example.com (test_programs.py:")
    assert failure.message.endswith('raise ValueError("no queue for *@example.com"))')
    assert failure.cost_usd == Decimal("0.5")


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), StopIteration("x"), asyncio.CancelledError(), GeneratorExit()]
)
async def test_nothing_that_a_program_raises_ends_the_worker(error: BaseException, is_async: bool) -> None:
    """`sys.exit` in a library is a failed row."""

    def program(row: Any, model: Any) -> str:
        raise error

    async def awaited(row: Any, model: Any) -> str:
        raise error

    failure = await failure_of(program_trial(awaited if is_async else program))

    assert failure.kind == "program"
    assert type(error).__name__ in failure.message


async def test_a_program_that_cancels_its_own_task_is_a_failed_row() -> None:
    """It is no cancellation of the worker's: without an outcome, the chunk would never be complete."""

    async def program(row: Any, model: Any) -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)
        return "unreached"

    failure = await failure_of(program_trial(program))

    assert (failure.kind, failure.message) == ("program", "the program cancelled its own task")


async def test_a_model_without_answer_is_the_model_s_failure_unless_the_program_goes_on() -> None:
    """What blocks a prompt blocks a program's trial too, also where it was raised on from another error."""
    refused = exhausted(FailureKind.CONTENT_FILTER, "violence: medium", 400)

    def wraps(row: Any, model: Any) -> str:
        try:
            return str(model.ask("Hello?"))
        except ModelUnavailable as error:
            raise RuntimeError("no") from error

    def goes_on(row: Any, model: Any) -> str:
        try:
            return str(model.ask("Hello?"))
        except ModelUnavailable:
            return "unknown"

    blocked = await program_trial(wraps, Replies([refused])).run(ROW)
    answered = await program_trial(goes_on, Replies([refused])).run(ROW)

    assert blocked.status is TrialStatus.BLOCKED and blocked.failure is not None
    assert (blocked.failure.kind, blocked.failure.status) == ("content_filter", 400)
    assert answered.status is TrialStatus.SUCCEEDED
    assert (answered.responses[0].text, len(answered.responses[0].attempts)) == ("unknown", 2)


async def test_answers_that_a_program_did_not_get_are_billed_and_discarded() -> None:
    """A misfit that was paid for, and a call that succeeded: the whole bill, and the answers' own part."""
    misfit = exhausted(FailureKind.INVALID_ANSWER)
    paid = Unanswered(misfit.last, misfit.attempts, 1.0, Spent(Usage(output_tokens=3), Decimal("0.1")))

    async def program(row: Any, model: Any) -> str:
        try:
            await model.ask("Hello?")
        except ModelUnavailable:
            return str(await model.ask("Hello again?"))
        return ""

    outcome = await program_trial(program, Replies([paid, reply(tokens=5)])).run(ROW)

    (response,) = outcome.responses
    assert (response.cost_usd, response.discarded_usd) == (Decimal("0.6"), Decimal("0.1"))
    assert (response.usage.output_tokens, response.discarded.output_tokens) == (5, 3)
    assert outcome.usage.output_tokens == 8
    assert response.quota_wait_seconds == 3.0


async def test_a_program_without_calls_costs_nothing() -> None:
    """A rule can be a variant too."""
    outcome = await program_trial(lambda row, model: row["queue"]).run(ROW)

    (response,) = outcome.responses
    assert (response.text, response.model, response.deployment) == ("billing", "none", "gpt-4o-mini")
    assert (response.cost_usd, response.usage, response.latency_seconds) == (0, Usage(), 0)


async def test_a_response_is_cached_when_all_its_answers_were() -> None:
    """Otherwise its tokens are those that were paid for."""
    free = replace(reply(tokens=5), cached=True, spent=Spent(), attempts=())

    async def outcome(*replies: Reply) -> Outcome:
        return await program_trial(two_steps, Replies(replies)).run(ROW)

    whole, part = await outcome(free, free), await outcome(free, reply(tokens=7))

    assert (whole.responses[0].cached, whole.responses[0].usage.output_tokens) == (True, 10)
    assert (whole.cost_usd, whole.usage) == (0, Usage())
    assert (part.responses[0].cached, part.usage.output_tokens, part.cost_usd) == (False, 7, Decimal("0.5"))


async def test_the_same_question_again_is_another_draw() -> None:
    """Five samples of one prompt must not come five times from the cache."""
    asked = Replies([reply() for _ in range(4)])

    async def program(row: Any, model: Any) -> str:
        await asyncio.gather(*(model.ask("Guess.") for _ in range(3)))
        return str(await model.ask("Sum up."))

    await program_trial(program, asked).run(ROW)

    assert [one.draw for one in asked.questions] == [0, 1, 2, 0]


@pytest.mark.parametrize("error", [RunStopped("no money"), QuotaElsewhere("chat", 30.0)])
@pytest.mark.parametrize("is_async", [False, True])
async def test_what_ends_more_than_a_program_passes_it(error: Exception, is_async: bool) -> None:
    """Even one that catches every exception cannot go on."""
    asked = Replies([error])

    def program(row: Any, model: Any) -> str:
        while True:
            try:
                model.ask("Hello?")
            except Exception:
                continue

    async def awaited(row: Any, model: Any) -> str:
        while True:
            try:
                await model.ask("Hello?")
            except Exception:
                continue

    with pytest.raises(type(error)):
        await program_trial(awaited if is_async else program, asked).run(ROW)
    assert len(asked.questions) == 1


async def test_a_bug_below_a_call_is_not_taken_for_the_program_s() -> None:
    """It fails the chunk, as it would with a prompt."""
    with pytest.raises(ZeroDivisionError):
        await program_trial(two_steps, Replies([ZeroDivisionError()])).run(ROW)


async def test_calls_are_bounded() -> None:
    """A loop without end costs no more than the limit says."""
    asked = Replies([reply() for _ in range(9)])

    def program(row: Any, model: Any) -> str:
        while True:
            try:
                model.ask("Go on?")
            except Exception:
                continue

    failure = await failure_of(program_trial(program, asked, program_suite(limits={"calls_per_trial": 3})))

    assert failure.kind == "program"
    assert failure.message == "the program asked more than 3 model calls for one row (limits.calls_per_trial)"
    assert len(asked.questions) == 3
    assert failure.cost_usd == Decimal("1.5")


async def test_threads_of_a_program_may_ask_too() -> None:
    """They share its count and its bill."""
    asked = Replies([reply() for _ in range(6)])

    def program(row: Any, model: Any) -> str:
        with ThreadPoolExecutor(3) as pool:
            return " ".join(pool.map(model.ask, "abcdef"))

    outcome = await program_trial(program, asked).run(ROW)

    assert outcome.responses[0].text == "ok ok ok ok ok ok"
    assert outcome.cost_usd == Decimal(3)


async def test_a_program_that_changes_its_row_changes_nothing_for_the_scorers() -> None:
    """It has a copy."""

    def program(row: Any, model: Any) -> str:
        row["queue"] = "changed"
        return "x"

    await program_trial(program).run(ROW)

    assert ROW.fields["queue"] == "billing"


def test_an_awaited_program_that_takes_too_long_is_cut_off_with_its_bill() -> None:
    """The limit counts what the program does, its calls included."""
    asked = Replies([reply()])
    ends: list[str] = []

    async def program(row: Any, model: Any) -> str:
        await model.ask("Hello?")
        try:
            await asyncio.sleep(10_000)
        finally:
            ends.append("ended")
        return ""

    async def scenario() -> Outcome:
        return await program_trial(program, asked, program_suite(limits={"trial_timeout_seconds": 5})).run(ROW)

    outcome = run_virtually(scenario())

    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.criterion) == ("trial_timeout", "answer")
    assert (outcome.failure.cost_usd, ends) == (Decimal("0.5"), ["ended"])


async def test_a_thread_whose_call_is_cut_off_ends() -> None:
    """The call raises what no `except Exception` holds, and no thread is left."""
    ends: list[BaseException] = []
    over = threading.Event()

    def program(row: Any, model: Any) -> str:
        try:
            return str(model.ask("Hello?"))
        except BaseException as error:
            ends.append(error)
            raise
        finally:
            over.set()

    class Endless:
        async def __call__(self, question: Question) -> Reply:
            await asyncio.sleep(10_000)
            raise AssertionError

    telemetry = RecordingTelemetry()
    of = program_suite(limits={"trial_timeout_seconds": 0.05})
    outcome = await program_trial(program, Endless(), of, ProgramThreads(telemetry)).run(ROW)

    assert over.is_set()
    assert outcome.failure is not None and outcome.failure.kind == "trial_timeout"
    assert [type(one) for one in ends] == [ProgramEnded]
    assert telemetry.named("program_left_running") == []


async def test_threads_that_never_come_back_are_left_and_stop_the_run_when_there_are_too_many() -> None:
    """The trial ends as slow at once; once they have come back, programs run again."""
    release = threading.Event()
    telemetry = RecordingTelemetry()
    threads = ProgramThreads(telemetry, most=8, most_left=2)

    def program(row: Any, model: Any) -> str:
        release.wait(60)
        return "late"

    stuck = program_trial(program, None, program_suite(limits={"trial_timeout_seconds": 0.02}), threads)
    kinds = [(await failure_of(stuck)).kind for _ in range(2)]
    assert (kinds, threads.left) == (["trial_timeout"] * 2, 2)
    with pytest.raises(RunStopped, match="2 calls of programs were cut off in this worker and still run"):
        await stuck.run(ROW)

    release.set()
    await all_back(threads)
    assert (await program_trial(lambda row, model: "again", None, None, threads).run(ROW)).responses[0].text == "again"
    assert [fields["left"] for fields in telemetry.named("program_left_running")] == [1, 2]


async def test_a_call_that_a_program_gives_up_is_billed_with_what_was_paid() -> None:
    """Its first attempt brought nothing usable, and its second was not waited for."""
    calls = 0

    async def ask(question: Question) -> Reply:
        nonlocal calls
        calls += 1
        if calls > 1:
            return reply()
        course_here().spent += Spent(Usage(output_tokens=4), Decimal("0.25"))
        await asyncio.sleep(10_000)
        raise AssertionError

    async def program(row: Any, model: Any) -> str:
        with suppress(TimeoutError):
            await asyncio.wait_for(model.ask("Hello?"), 0.01)
        return str(await model.ask("Hello again?"))

    outcome = await program_trial(program, ask).run(ROW)

    (response,) = outcome.responses
    assert (response.cost_usd, response.discarded_usd) == (Decimal("0.75"), Decimal("0.25"))
    assert response.discarded.output_tokens == 4


async def test_a_late_call_of_a_program_that_has_ended_is_not_asked() -> None:
    """A task that it left behind cannot spend money that no outcome counts."""
    asked = Replies([reply()])
    late: list[asyncio.Task[Any]] = []
    gate = asyncio.Event()

    async def later(model: Any) -> None:
        await gate.wait()
        await model.ask("One more?")

    async def program(row: Any, model: Any) -> str:
        late.append(asyncio.create_task(later(model)))
        return str(await model.ask("Hello?"))

    outcome = await program_trial(program, asked).run(ROW)
    gate.set()
    with pytest.raises(ProgramEnded):
        await late[0]

    assert outcome.status is TrialStatus.SUCCEEDED
    assert len(asked.questions) == 1


async def test_cancelling_the_worker_ends_a_program() -> None:
    """A worker that drains waits for no program."""
    begun = asyncio.Event()
    release = threading.Event()
    loop = asyncio.get_running_loop()

    def program(row: Any, model: Any) -> str:
        loop.call_soon_threadsafe(begun.set)
        release.wait(60)
        return ""

    running = asyncio.create_task(program_trial(program, threads=ProgramThreads(RecordingTelemetry())).run(ROW))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    release.set()


async def test_no_program_thread_keeps_a_process_from_ending() -> None:
    """They are daemons."""
    seen: list[bool] = []

    def program(row: Any, model: Any) -> str:
        seen.append(threading.current_thread().daemon)
        return ""

    await program_trial(program).run(ROW)

    assert seen == [True]


async def test_a_plain_function_s_model_refuses_to_block_the_event_loop() -> None:
    """It would wait for itself for ever."""
    models: list[Any] = []

    def program(row: Any, model: Any) -> str:
        models.append(model)
        return ""

    await program_trial(program, Asked()).run(ROW)

    with pytest.raises(ValueError, match="make the program 'async def'"):
        models[0].ask("Hello?")
    assert sys.exc_info() == (None, None, None)
