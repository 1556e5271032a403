"""Gets an answer to a question: one permit and one record per attempt, until the error taxonomy says to stop.

The end of every chain of middleware. Tenacity runs the loop, `retry.py` decides.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from http import HTTPStatus

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from assay.execution.retry import RetryDecision, decide_retry
from assay.execution.routes import Route
from assay.llm.base import ChatAnswer, ModelError
from assay.llm.errors import TAXONOMY, FailureKind
from assay.llm.pricing import PriceTable
from assay.middleware.base import Question, Reply, Spent, Unanswered
from assay.quota.base import Charge, ChargeTooLarge, Permit, PermitExpired, Throttling
from assay.quota.estimate import estimate_tokens
from assay.records import Attempt
from assay.telemetry import Telemetry


@dataclass(frozen=True)
class Asker:
    """Asks one route, with retries; an `Ask` of `middleware/base.py`."""

    route: Route
    prices: PriceTable
    attempts_limit: int
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    random: Callable[[], float]
    telemetry: Telemetry

    async def __call__(self, question: Question) -> Reply:
        """The answer, every attempt in order (the last one is the answer's), the seconds spent waiting for permits.

        Raises Unanswered when the taxonomy allows no further attempt; what a limiter raises when it is drained passes.
        """
        asking = _Asking(self, question)
        retrying = AsyncRetrying(
            sleep=self.sleep, retry=retry_if_exception(asking.may_retry), wait=asking.seconds_to_wait, reraise=True
        )
        try:
            answer: ChatAnswer = await retrying(asking.attempt)
        except ModelError as error:
            self.telemetry.problem(
                "attempts_exhausted",
                deployment=self.route.reference,
                attempts=len(asking.attempts),
                kind=error.kind.value,
            )
            raise Unanswered(error, tuple(asking.attempts), asking.quota_wait_seconds, asking.wasted) from error
        spent = asking.wasted + Spent(answer.usage, self.prices.cost(answer.model, answer.usage))
        return Reply(
            answer, self.route.reference, tuple(asking.attempts), asking.quota_wait_seconds, spent, asking.wasted
        )


class _Asking:
    """One question on its way through its attempts. `wasted` is what was billed for answers nobody can use."""

    def __init__(self, asker: Asker, question: Question) -> None:
        self._asker = asker
        self._route = asker.route
        self._request = replace(question.request, deployment=asker.route.deployment)
        tokens = estimate_tokens(question.request.messages) + question.request.max_tokens
        self._charge = Charge(tokens, flow=f"{question.run}/{question.experiment}")
        self._failures: Counter[FailureKind] = Counter()
        self._decision = RetryDecision(again=False)
        self.attempts: list[Attempt] = []
        self.quota_wait_seconds = 0.0
        self.wasted = Spent()

    async def attempt(self) -> ChatAnswer:
        """One attempt; a failure is decided on, recorded and raised."""
        try:
            answer = await self._send()
        except ModelError as error:
            self._record(error)
            raise
        self.attempts.append(
            Attempt(
                number=len(self.attempts) + 1,
                deployment=self._route.reference,
                status=HTTPStatus.OK,
                request_id=answer.request_id,
            )
        )
        return answer

    def may_retry(self, error: BaseException) -> bool:
        return isinstance(error, ModelError) and self._decision.again

    def seconds_to_wait(self, _: RetryCallState) -> float:
        return self._decision.wait_seconds

    async def _send(self) -> ChatAnswer:
        permit = await self._permit()
        try:
            answer = await self._route.model.complete(self._request)
        except ModelError as error:
            _settle(permit, error)
            raise
        permit.settle(answer.usage.input_tokens + answer.usage.output_tokens)
        return answer

    async def _permit(self) -> Permit:
        """A permit, confirmed right before the request; one whose lease ran out is replaced, which is no attempt."""
        began = self._asker.clock()
        try:
            while True:
                permit = await self._route.limiter.acquire(self._charge)
                try:
                    permit.sent()
                except PermitExpired:
                    continue
                return permit
        except ChargeTooLarge as error:
            raise ModelError(FailureKind.TOO_LARGE, str(error), sent=False) from error
        finally:
            self.quota_wait_seconds += self._asker.clock() - began

    def _record(self, error: ModelError) -> None:
        asker = self._asker
        self._failures[error.kind] += 1
        self._decision = decide_retry(error, self._failures, asker.attempts_limit, asker.random)
        if error.model:
            self.wasted += Spent(error.usage, asker.prices.cost(error.model, error.usage))
        attempt = Attempt(
            number=len(self.attempts) + 1,
            deployment=self._route.reference,
            error=error.kind.value,
            status=error.status,
            request_id=error.request_id,
            wait_seconds=self._decision.wait_seconds,
        )
        self.attempts.append(attempt)
        asker.telemetry.event("model_attempt_failed", **_fields(attempt))


def _settle(permit: Permit, error: ModelError) -> None:
    """Gives back what the service did not count, and tells the limiter of a refusal that slower sending avoids."""
    if not error.sent or not TAXONOMY[error.kind].charged:
        permit.refund()
    elif error.status == HTTPStatus.TOO_MANY_REQUESTS:
        is_capacity = error.kind is FailureKind.SERVICE_BUSY
        permit.throttled(Throttling(error.retry_after_seconds, error.axis, is_capacity))


def _fields(attempt: Attempt) -> dict[str, object]:
    return {
        "number": attempt.number,
        "deployment": attempt.deployment,
        "kind": attempt.error,
        "status": attempt.status,
        "request_id": attempt.request_id,
        "wait_seconds": round(attempt.wait_seconds, 3),
    }
