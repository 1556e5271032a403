"""Gets an answer to a question: attempts at the routes of a ladder, until the error taxonomy says to stop.

The end of every chain of middleware. `sending.py` makes an attempt, `retry.py` decides, tenacity runs the loop.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from http import HTTPStatus

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from assay.budget.base import Budget, NoBudget
from assay.errors import RunStopped
from assay.execution.choosing import Choosing
from assay.execution.course import course_here
from assay.execution.retry import RetryDecision, Step, decide_retry
from assay.execution.routes import Ladder, Route
from assay.execution.sending import RouteShut, Sending
from assay.execution.stop_bell import StopBell
from assay.execution.stop_reasons import StopReasons
from assay.llm.base import ChatAnswer, ModelError
from assay.llm.pricing import PriceTable
from assay.middleware.base import NOTHING_SPENT, Question, Reply, Spent, Unanswered
from assay.quota.base import QuotaElsewhere
from assay.records import Attempt
from assay.suite.models import named_model
from assay.telemetry import Telemetry

Hook = Callable[[Question, Unanswered], None]


def unheard(question: Question, unanswered: Unanswered) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True)
class Asker:
    """Asks the routes of one experiment of one run, with retries and fallbacks; an `Ask` of `middleware/base.py`.

    `priced_as` names the model that a deployment is taken to run, before its answers do.
    `on_exhausted` is called with every question that stays without an answer, unless it will be asked again in another
    way; an error in it harms nothing. All askers of a run share its `stop_bell`.
    """

    ladder: Ladder
    prices: PriceTable
    attempts_limit: int
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    random: Callable[[], float]
    telemetry: Telemetry
    priced_as: Callable[[str], str] = named_model
    budget: Budget = field(default_factory=NoBudget)
    on_exhausted: Hook = unheard
    stop_reasons: StopReasons = field(default_factory=StopReasons)
    stop_bell: StopBell = field(default_factory=StopBell)
    suite: str = ""

    @cached_property
    def sending(self) -> Sending:
        """How its attempts are made."""
        return Sending(self.prices, self.clock, self.telemetry, self.priced_as, self.budget, self.suite)

    async def __call__(self, question: Question) -> Reply:
        """The answer, every attempt in order (the last one is the answer's), the seconds spent waiting for permits.

        Raises Unanswered when the taxonomy allows no further attempt, RunStopped when it says that no other question
        would fare better, or the budget is used up, or while it waits another one found that. QuotaElsewhere and what a
        limiter raises when it is drained pass.
        """
        asking = _Asking(self, question)
        try:
            try:
                return await asking.reply()
            except ModelError as error:
                raise self._ended(asking, error) from error
        except RunStopped as stopped:
            self.stop_bell.ring(asking.ring, stopped)
            raise

    def _ended(self, asking: "_Asking", error: ModelError) -> Unanswered | RunStopped:
        reference, question = asking.attempts[-1].deployment, asking.question
        unanswered = Unanswered(error, tuple(asking.attempts), asking.quota_wait_seconds, asking.wasted)
        if error.kind in question.asked_again_after:  # only that question tells whether there is no answer
            return unanswered
        is_own = any(route.reference == reference for route in self.ladder[0])
        is_every_row_s = is_own and not question.is_varied
        stop = self.stop_reasons.unanswered(error, reference, question.run, is_every_row_s=is_every_row_s)
        if stop is not None:
            return stop
        self.telemetry.problem(
            "attempts_exhausted", deployment=reference, attempts=len(asking.attempts), kind=error.kind.value
        )
        try:
            self.on_exhausted(question, unanswered)
        except Exception as failure:  # somebody else's code must not cost the trial
            self.telemetry.problem("exhausted_hook_failed", error=f"{type(failure).__name__}: {failure}"[:200])
        return unanswered


class _Asking:
    """One question on its way through its attempts. `wasted` is what was billed for answers nobody can use."""

    def __init__(self, asker: Asker, question: Question) -> None:
        self._asker = asker
        self._choosing = Choosing(asker.ladder, question)
        self._decision = RetryDecision(Step.AGAIN)
        self._course = course_here()
        self.question = question
        self.ring = asker.stop_bell.ring_now
        self.attempts: list[Attempt] = []
        self.quota_wait_seconds = 0.0
        self.wasted = NOTHING_SPENT

    async def reply(self) -> Reply:
        """The reply. Raises the ModelError after which no attempt is left."""
        try:
            return await self._attempt()
        except ModelError as error:
            if not self._may_go_on(error):
                raise
        # Made only now: setting the loop up costs more than all else that is done for a question answered at once.
        await self._rest(self._decision.wait_seconds)
        retrying = AsyncRetrying(
            sleep=self._rest,
            retry=retry_if_exception(self._may_go_on),
            wait=self._seconds_to_wait,
            reraise=True,
        )
        reply: Reply = await retrying(self._attempt)
        return reply

    def _may_go_on(self, error: BaseException) -> bool:
        return isinstance(error, ModelError) and self._decision.step is not Step.GIVE_UP

    def _seconds_to_wait(self, _: RetryCallState) -> float:
        return self._decision.wait_seconds

    async def _attempt(self) -> Reply:
        """One attempt; a failure is decided on, recorded and raised."""
        while True:
            self.ring.check()
            route = await self._route()
            request = self.question.request
            if request.deployment != route.deployment:
                request = replace(request, deployment=route.deployment)
            try:
                answer, spent = await self._asker.sending.send(
                    route, request, self._choosing.charge(route), self._waited, self.ring
                )
            except RouteShut:
                continue
            except QuotaElsewhere:
                if not self._choosing.may_have_quota():
                    raise
                continue
            except ModelError as error:
                self._failed(route, error)
                raise
            return self._answered(route, answer, spent)

    async def _route(self) -> Route:
        """The route to ask now; waits while all that may be asked are to be left alone."""
        while True:
            route, seconds = self._choosing.choose(self._asker.clock())
            if seconds <= 0:
                return route
            await self._rest(seconds)

    async def _rest(self, seconds: float) -> None:
        """Waits, unless the run is stopped: what nobody can answer must not hold a place until its waits are over."""
        await self.ring.rest(self._asker.sleep(seconds))

    def _waited(self, seconds: float) -> None:
        self.quota_wait_seconds += seconds

    def _answered(self, route: Route, answer: ChatAnswer, spent: Spent) -> Reply:
        asker = self._asker
        asker.stop_reasons.answered()
        if answer.unfiltered:
            asker.telemetry.problem("answer_unfiltered", deployment=route.reference, request_id=answer.request_id)
        attempt = Attempt(
            number=len(self.attempts) + 1,
            deployment=route.reference,
            status=HTTPStatus.OK,
            request_id=answer.request_id,
        )
        self._record(attempt, spent)
        total = spent if self.wasted is NOTHING_SPENT else self.wasted + spent
        return Reply(answer, route.reference, tuple(self.attempts), self.quota_wait_seconds, total, self.wasted)

    def _failed(self, route: Route, error: ModelError) -> None:
        self._decision = self._decide(route, error)
        spent = self._asker.sending.spent(route, error.model, error.usage)
        self.wasted = spent if self.wasted is NOTHING_SPENT else self.wasted + spent
        attempt = Attempt(
            number=len(self.attempts) + 1,
            deployment=route.reference,
            error=error.kind.value,
            status=error.status,
            request_id=error.request_id,
            wait_seconds=self._decision.wait_seconds,
        )
        self._record(attempt, spent)
        self._asker.telemetry.event("model_attempt_failed", **_fields(attempt), step=self._decision.step.value)

    def _decide(self, route: Route, error: ModelError) -> RetryDecision:
        """What comes next; the route is left, or left alone for a while."""
        asker, choosing, now = self._asker, self._choosing, self._asker.clock()
        choosing.failures[error.kind] += 1
        has_fallback = choosing.has_fallback(route, error.kind, now)
        decision = decide_retry(error, choosing.failures, asker.attempts_limit, asker.random, has_fallback=has_fallback)
        if decision.step is Step.FALL_BACK:
            choosing.leave(route, error.kind)
        if decision.step is not Step.AGAIN:
            return decision
        choosing.rest(route, now + decision.wait_seconds)
        # Another route of the rung may be asked sooner.
        return RetryDecision(Step.AGAIN, choosing.choose(now)[1])

    def _record(self, attempt: Attempt, spent: Spent) -> None:
        self.attempts.append(attempt)
        self._course.attempts.append(attempt)
        if spent is not NOTHING_SPENT:
            self._course.spent += spent


def _fields(attempt: Attempt) -> dict[str, object]:
    return {
        "number": attempt.number,
        "deployment": attempt.deployment,
        "kind": attempt.error,
        "status": attempt.status,
        "request_id": attempt.request_id,
        "wait_seconds": round(attempt.wait_seconds, 3),
    }
