"""One trial: a row is put to every criterion of an experiment, the answers are scored, an outcome comes back."""

from dataclasses import dataclass, field, replace

from assay.execution.course import Course, followed
from assay.execution.program_answers import ProgramFailed
from assay.execution.program_calls import Calls
from assay.execution.programs import PROGRAM, ProgramRunner, response_of
from assay.execution.trial_clock import TrialClock, trial_clock
from assay.execution.watchdog import Watchdog
from assay.llm.base import AnswerSchema, ChatMessage, ChatRequest
from assay.llm.errors import TAXONOMY, FailureKind
from assay.middleware.base import Ask, Question, Unanswered
from assay.middleware.redaction import default_redact
from assay.planning.prompts import RowPrompt
from assay.planning.templates import PromptError
from assay.records import ChunkMessage, Failure, Outcome, Response, Row, Score, TrialStatus
from assay.scoring.base import Scorer
from assay.scoring.trials import score_trial
from assay.suite.models import PROGRAM_CRITERION, Experiment, Limits
from assay.telemetry import Redact


@dataclass(frozen=True)
class Trial:
    """How every row of one experiment is tried, by its prompts or its program; made once per run and process."""

    run_id: str
    experiment: Experiment
    prompts: tuple[RowPrompt, ...]
    scorers: tuple[Scorer, ...]
    limits: Limits
    ask: Ask
    watchdog: Watchdog
    redact: Redact = field(default_factory=default_redact)
    repeat: int = 0
    program: ProgramRunner | None = None

    def of_repeat(self, repeat: int) -> "Trial":
        """The same for another repeat of the rows, counted from 0."""
        return replace(self, repeat=repeat)

    async def of_chunk(self, message: ChunkMessage) -> "Trial":
        """How the rows of one chunk are tried."""
        return self.of_repeat(message.repeat)

    async def run(self, row: Row) -> Outcome:
        """The row's outcome. Never raises for a bad row, a model that fails or an answer that takes too long: then the
        outcome says so, with what was answered until then. RunStopped, QuotaElsewhere and cancellation pass.
        """
        responses: list[Response] = []
        with followed() as course:
            try:
                async with trial_clock(self.limits.trial_timeout_seconds) as clock:
                    return await self._watched(row, responses, course, clock)
            except TimeoutError:
                if not clock.expired:
                    raise
        criterion = PROGRAM_CRITERION if self.program else self.prompts[len(responses)].criterion
        return self._failed(row, responses, self._too_slow(course, criterion))

    async def _watched(self, row: Row, responses: list[Response], course: Course, clock: TrialClock) -> Outcome:
        with self.watchdog.watching(row.row_id, self.limits.trial_timeout_seconds, clock.stood_seconds):
            if self.program is not None:
                return await self._run_program(self.program, row, course)
            return await self._ask_all(row, responses, course)

    async def _ask_all(self, row: Row, responses: list[Response], course: Course) -> Outcome:
        """Puts every answer into `responses` as soon as it is there."""
        for prompt in self.prompts:
            course.begin()
            try:
                responses.append(await self._respond(prompt, row))
            except PromptError as error:
                said = self.redact(str(error))  # of Jinja, which may quote the row
                return self._failed(row, responses, Failure(kind="prompt", message=said, criterion=prompt.criterion))
            except Unanswered as error:
                return self._failed(row, responses, _failure(error, prompt.criterion))
        return self._outcome(row, TrialStatus.SUCCEEDED, responses, scores=self._scores(row, responses))

    async def _run_program(self, runner: ProgramRunner, row: Row, course: Course) -> Outcome:
        """The course is that of all its calls, so that it tells what was paid when the program is cut off."""
        question = self._question(PROGRAM_CRITERION, row, self._asked((), None))
        calls = Calls(self.ask, question, self.limits.calls_per_trial, course)
        try:
            text = await runner.answer(row.fields, calls)
        except Unanswered as error:
            failure = _failure(error, PROGRAM_CRITERION)
        except ProgramFailed as error:
            failure = Failure(kind=PROGRAM, message=_storable(self.redact(str(error))), criterion=PROGRAM_CRITERION)
        else:
            responses = [response_of(_storable(text), calls)]
            return self._outcome(row, TrialStatus.SUCCEEDED, responses, scores=self._scores(row, responses))
        spent = {"usage": course.spent.usage, "cost_usd": course.spent.cost_usd, "attempts": tuple(course.attempts)}
        return self._failed(row, [], failure.model_copy(update=spent))

    async def _respond(self, prompt: RowPrompt, row: Row) -> Response:
        request = self._asked(prompt.render(row.fields), prompt.schema)
        reply = await self.ask(self._question(prompt.criterion, row, request))
        answer = reply.answer
        return Response(
            criterion=prompt.criterion,
            text=_storable(answer.text),
            finish_reason=answer.finish_reason,
            model=answer.model,
            deployment=reply.deployment,
            request_id=answer.request_id,
            usage=answer.usage,
            cost_usd=reply.spent.cost_usd,
            latency_seconds=answer.latency_seconds,
            first_token_seconds=answer.first_token_seconds,
            quota_wait_seconds=reply.quota_wait_seconds,
            attempts=reply.attempts,
            refused=answer.refused,
            discarded=reply.discarded.usage,
            discarded_usd=reply.discarded.cost_usd,
            cached=reply.cached,
            reruns=reply.reruns,
            limit_sent=reply.limit_sent,
        )

    def _question(self, criterion: str, row: Row, request: ChatRequest) -> Question:
        return Question(self.run_id, self.experiment.name, criterion, row.row_id, request, self.repeat)

    def _asked(self, messages: tuple[ChatMessage, ...], schema: AnswerSchema | None) -> ChatRequest:
        model = self.experiment.model
        return ChatRequest(
            deployment=model.deployment,
            messages=messages,
            max_tokens=model.max_tokens,
            temperature=model.temperature,
            seed=model.seed,
            json=model.json_answer,
            stop=model.stop,
            timeout_seconds=self.limits.request_timeout_seconds,
            connect_timeout_seconds=self.limits.connect_timeout_seconds,
            read_timeout_seconds=self.limits.read_timeout_seconds,
            schema=schema,
            stream=model.stream,
            reasoning_effort=model.reasoning_effort,
        )

    def _too_slow(self, course: Course, criterion: str) -> Failure:
        """What was sent and cut off may still be billed; nobody says how much."""
        return Failure(
            kind=FailureKind.TRIAL_TIMEOUT,
            message=f"The trial was cut off after {self.limits.trial_timeout_seconds:g} seconds, its limit "
            "(limits.trial_timeout_seconds).",
            criterion=criterion,
            attempts=tuple(course.attempts),
            usage=course.spent.usage,
            cost_usd=course.spent.cost_usd,
        )

    def _scores(self, row: Row, responses: list[Response]) -> tuple[Score, ...]:
        by_criterion = {response.criterion: response for response in responses}
        return tuple(_storable_score(one) for one in score_trial(self.scorers, row.fields, by_criterion))

    def _failed(self, row: Row, responses: list[Response], failure: Failure) -> Outcome:
        rule = next((rule for kind, rule in TAXONOMY.items() if kind == failure.kind), None)
        return self._outcome(row, rule.outcome if rule else TrialStatus.FAILED, responses, failure=failure)

    def _outcome(
        self,
        row: Row,
        status: TrialStatus,
        responses: list[Response],
        *,
        scores: tuple[Score, ...] = (),
        failure: Failure | None = None,
    ) -> Outcome:
        return Outcome(
            row_id=row.row_id,
            row_number=row.number,
            experiment=self.experiment.name,
            repeat=self.repeat,
            status=status,
            responses=tuple(responses),
            scores=scores,
            failure=failure,
        )


def _storable_score(score: Score) -> Score:
    texts = {key: text for key in ("reason", "label", "expected") if (text := getattr(score, key))}
    return score.model_copy(update={key: _storable(text) for key, text in texts.items()}) if texts else score


def _failure(error: Unanswered, criterion: str) -> Failure:
    last = error.last
    return Failure(
        kind=last.kind,
        message=_storable(str(last)),
        criterion=criterion,
        status=last.status,
        request_id=last.request_id,
        attempts=error.attempts,
        usage=error.spent.usage,
        cost_usd=error.spent.cost_usd,
    )


def _storable(text: str) -> str:
    """The text without lone surrogates, which JSON can escape and UTF-8 cannot hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
