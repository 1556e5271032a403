"""One trial: every criterion in order, and an outcome whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

import pytest
from asking_bench import Bench, failing
from worker_bench import Asked, chunk_rows, trial

from assay.errors import RunStopped
from assay.llm.base import ChatRequest, ModelError
from assay.llm.errors import FailureKind
from assay.middleware.base import Unanswered
from assay.records import Attempt, Response, Row, Score, TrialStatus, Usage
from builders import experiment, suite
from virtual_loop import run_virtually

CRITERIA = ("tone", "queue", "length")
ROW = chunk_rows(1)[0]


class Scorer:
    """Notes what it is asked to judge."""

    kind: Literal["binary", "numeric"] = "binary"
    value_range = (0.0, 1.0)

    def __init__(self, name: str = "correct", reason: str | None = None, error: Exception | None = None) -> None:
        self.name, self.reason, self.error = name, reason, error
        self.judged: list[tuple[dict[str, Any], list[str]]] = []

    def score(self, fields: Mapping[str, Any], responses: Mapping[str, Response]) -> Score:
        self.judged.append((dict(fields), list(responses)))
        if self.error:
            raise self.error
        return Score(name=self.name, value=1.0, reason=self.reason)


def exhausted(kind: FailureKind, message: str = "no", status: int | None = 500) -> Unanswered:
    attempts = (Attempt(number=1, error=kind, status=status), Attempt(number=2, error=kind, status=status))
    return Unanswered(ModelError(kind, message, status=status, request_id="req-7"), attempts)


def in_turn(*replies: Any) -> Asked:
    """Gives the replies in order; an exception is raised."""
    waiting = list(replies)

    def reply(request: ChatRequest) -> Any:
        found = waiting.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    return Asked(reply)


def three_criteria() -> Any:
    return suite(("plain",), criteria=CRITERIA)


async def test_criteria_are_asked_in_the_order_of_the_suite() -> None:
    """Responses come in the same order, each under its criterion's name."""
    outcome = await trial(in_turn("a", "b", "c"), three_criteria()).run(ROW)

    assert outcome.status is TrialStatus.SUCCEEDED
    assert [(one.criterion, one.text) for one in outcome.responses] == [("tone", "a"), ("queue", "b"), ("length", "c")]


async def test_a_request_holds_what_the_experiment_says() -> None:
    """Deployment, prompts, bounds and parameters reach the model as written."""
    seen: list[ChatRequest] = []
    model = {"deployment": "gpt-x", "temperature": 0.5, "max_tokens": 7, "seed": 3, "json": True, "stop": ["END"]}
    model["reasoning_effort"] = "high"
    criterion = {"name": "answer", "system": "Be brief.", "user": "{{ subject }} / {{ queue }}"}
    changed = experiment("plain", baseline=True) | {"model": model, "criteria": [criterion]}

    def reply(request: ChatRequest) -> str:
        seen.append(request)
        return "{}"

    await trial(Asked(reply), suite(experiments=[changed])).run(ROW)

    request = seen[0]
    messages = [(one.role, one.content) for one in request.messages]
    assert messages == [("system", "Be brief."), ("user", "Größe 1 / billing")]
    assert (request.deployment, request.temperature, request.max_tokens) == ("gpt-x", 0.5, 7)
    assert request.reasoning_effort == "high"
    assert (request.seed, request.json, request.stop, request.timeout_seconds) == (3, True, ("END",), 60.0)


async def test_a_response_keeps_tokens_cost_and_attempts() -> None:
    """What the service counted is priced by the model that answered, not by the deployment's name."""
    outcome = await trial(in_turn("{}")).run(ROW)

    response = outcome.responses[0]
    assert (response.usage.input_tokens, response.usage.output_tokens) == (10, 5)
    assert response.cost_usd == Decimal("0.0000045")
    assert (response.model, response.deployment) == ("gpt-4o-mini-2024-07-18", "gpt-4o-mini")
    assert response.attempts == (Attempt(number=1, status=200),)


async def test_a_failure_of_the_second_criterion_keeps_the_first_response() -> None:
    """What was paid for is kept, later criteria are not asked, and nothing is scored."""
    scorer, asked = Scorer(), in_turn("a", exhausted(FailureKind.SERVER_ERROR, "broken"), "c")

    outcome = await trial(asked, three_criteria(), scorers=[scorer]).run(ROW)

    assert outcome.status is TrialStatus.FAILED
    assert [one.criterion for one in outcome.responses] == ["tone"]
    assert len(asked.rows) == 2
    assert (outcome.scores, scorer.judged) == ((), [])
    failure = outcome.failure
    assert failure is not None
    assert (failure.kind, failure.criterion, failure.message) == ("server_error", "queue", "broken")
    assert (failure.status, failure.request_id, len(failure.attempts)) == (500, "req-7", 2)


@pytest.mark.parametrize("kind", [FailureKind.CONTENT_FILTER, FailureKind.ANSWER_FILTERED])
async def test_a_content_filter_blocks_the_trial(kind: FailureKind) -> None:
    """Blocked trials are counted apart from failed ones."""
    outcome = await trial(in_turn(exhausted(kind, "violence: medium", 400))).run(ROW)

    assert outcome.status is TrialStatus.BLOCKED
    assert outcome.failure is not None
    assert outcome.failure.kind == kind


async def test_a_prompt_that_cannot_be_rendered_fails_the_trial_without_asking() -> None:
    """A row without a needed column is that row's failure."""
    asked = in_turn()

    outcome = await trial(asked).run(Row(row_id="T-1", number=1, line=2, fields={"ticket_id": "T-1"}))

    assert (outcome.status, asked.rows) == (TrialStatus.FAILED, [])
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.criterion) == ("prompt", "queue")
    assert "subject" in outcome.failure.message


@pytest.mark.parametrize("template", ["{{ subject | dictsort }}", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"])
async def test_a_template_that_stumbles_over_a_value_fails_one_row_and_not_its_chunk(template: str) -> None:
    """Filters raise whatever Python raises; the worker must not fail because of one row."""
    changed = experiment("plain", baseline=True) | {"criteria": [{"name": "queue", "user": template}]}

    outcome = await trial(in_turn(), suite(experiments=[changed])).run(ROW)

    assert outcome.failure is not None
    assert outcome.failure.kind == "prompt"


async def test_a_succeeded_trial_is_scored_over_all_responses() -> None:
    """Every scorer sees the row's fields and the responses by criterion, once."""
    scorers = [Scorer("first"), Scorer("second")]

    outcome = await trial(in_turn("a", "b", "c"), three_criteria(), scorers=scorers).run(ROW)

    assert [one.name for one in outcome.scores] == ["first", "second"]
    assert [one.judged for one in scorers] == [[(ROW.fields, list(CRITERIA))]] * 2


async def test_a_scorer_with_a_bug_costs_no_answer() -> None:
    """The response is kept, the score has no value and says why, and other scorers still judge."""
    scorers = [Scorer("broken", error=KeyError("label")), Scorer("fine")]

    outcome = await trial(in_turn("{}"), scorers=scorers).run(ROW)

    assert outcome.status is TrialStatus.SUCCEEDED
    assert [one.value for one in outcome.scores] == [None, 1.0]
    assert (outcome.scores[0].reason or "").startswith("the scorer failed: KeyError: 'label' (")


async def test_text_that_utf8_cannot_hold_does_not_make_an_outcome_unstorable() -> None:
    """JSON answers may escape half a character; whole ones written as two halves are put together."""
    answer, halves = "cut \ud83d", "whole \ud83d\ude00"
    three = in_turn(halves, answer, exhausted(FailureKind.SERVER_ERROR, answer))
    failing = await trial(three, three_criteria()).run(ROW)
    scored = await trial(in_turn("{}"), scorers=[Scorer(reason=answer)]).run(ROW)

    assert [one.text for one in failing.responses] == ["whole \U0001f600", "cut \ufffd"]
    assert "cut \ufffd" in failing.model_dump_json()
    assert "cut \ufffd" in scored.model_dump_json()


async def never() -> str:
    await asyncio.Event().wait()
    return "nobody sets it"


def test_a_trial_that_takes_too_long_keeps_what_was_answered() -> None:
    """It fails as `trial_timeout`, names the criterion it was cut off in, and asks no more."""
    asked = in_turn("a", never(), "c")
    of = suite(("plain",), criteria=CRITERIA, limits={"trial_timeout_seconds": 0.02})

    outcome = run_virtually(trial(asked, of).run(ROW))

    assert (outcome.status, [one.criterion for one in outcome.responses]) == (TrialStatus.FAILED, ["tone"])
    failure = outcome.failure
    assert failure is not None
    assert (failure.kind, failure.criterion) == ("trial_timeout", "queue")
    assert "0.02 seconds" in failure.message
    assert len(asked.rows) == 2


def test_a_trial_that_is_cut_off_says_what_was_tried_and_paid() -> None:
    """The question under way had an unusable answer and waits for its next attempt; its permit is spent."""
    usage = Usage(input_tokens=100, output_tokens=10)
    bench = Bench(failing(FailureKind.INVALID_ANSWER, model="gpt-4o-mini", usage=usage), "{}")
    attempted = asyncio.Event()

    async def sleep(seconds: float) -> None:
        attempted.set()
        await asyncio.Event().wait()

    bench.sleep = sleep  # type: ignore[method-assign]
    outcome = run_virtually(trial(bench.asker(), suite(("plain",), limits={"trial_timeout_seconds": 0.02})).run(ROW))

    failure = outcome.failure
    assert failure is not None
    assert attempted.is_set()
    assert [(one.number, one.error) for one in failure.attempts] == [(1, "invalid_answer")]
    assert (outcome.usage, outcome.cost_usd) == (usage, Decimal("0.000021"))


def test_attempts_of_an_answered_criterion_are_not_told_twice() -> None:
    """They are in its response already."""
    bench = Bench(failing(FailureKind.SERVER_ERROR), "{}", failing(FailureKind.TIMEOUT))
    outcome_of = trial(
        bench.asker(), suite(("plain",), criteria=("tone", "queue"), limits={"trial_timeout_seconds": 0.05})
    )
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        bench.now += seconds
        if len(slept) > 1:
            await asyncio.Event().wait()

    bench.sleep = sleep  # type: ignore[method-assign]
    outcome = run_virtually(outcome_of.run(ROW))

    assert outcome.failure is not None
    assert [one.error for one in outcome.responses[0].attempts] == ["server_error", None]
    assert [one.error for one in outcome.failure.attempts] == ["timeout"]


async def test_a_stopped_run_and_a_cancellation_are_no_outcomes() -> None:
    """The rows stay pending."""
    for error in (RunStopped("no more"), asyncio.CancelledError()):
        with pytest.raises(type(error)):
            await trial(in_turn_raising(error)).run(ROW)


async def test_a_timeout_that_is_not_the_trials_own_is_a_defect_and_passes() -> None:
    """It must not look like a slow model."""
    with pytest.raises(TimeoutError):
        await trial(in_turn(TimeoutError("somewhere else"))).run(ROW)


def in_turn_raising(error: BaseException) -> Asked:
    def reply(request: ChatRequest) -> Any:
        raise error

    return Asked(reply)


async def test_a_request_holds_every_limit_of_time() -> None:
    """For the connection, for silence, and for the whole answer."""
    seen: list[ChatRequest] = []

    def reply(request: ChatRequest) -> str:
        seen.append(request)
        return "{}"

    limits = {"request_timeout_seconds": 7, "connect_timeout_seconds": 2, "read_timeout_seconds": 3}
    await trial(Asked(reply), suite(("plain",), limits=limits)).run(ROW)
    request = seen[0]
    timeouts = (request.timeout_seconds, request.connect_timeout_seconds, request.read_timeout_seconds)
    assert timeouts == (7, 2, 3)
