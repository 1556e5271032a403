"""Asks a model until it answers or the error taxonomy says to stop: one permit and one record per attempt.

Called by the worker for every criterion. Tenacity runs the loop; `TAXONOMY` in `llm/errors.py` is the policy.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from assay.errors import ModelUnavailable
from assay.llm.base import ChatAnswer, ChatModel, ChatRequest, ModelError
from assay.llm.errors import LONGEST_WAIT_SECONDS, TAXONOMY, FailureKind
from assay.quota.base import Charge, ChargeTooLarge, Limiter, Permit, PermitExpired, Throttling
from assay.records import Attempt
from assay.telemetry import Telemetry

# A wait that the service asks for is kept, and stretched a little, so that workers do not return all at once.
_STRETCH, _STRETCH_SECONDS = 0.1, 0.2


class Exhausted(ModelUnavailable):
    """No answer after every attempt that was allowed. `last` is the last error, `attempts` are all of them."""

    def __init__(self, error: ModelError, attempts: tuple[Attempt, ...], quota_wait_seconds: float = 0.0) -> None:
        super().__init__(f"No answer after {len(attempts)} attempts; the last one failed as {error.kind}: {error}")
        self.last = error
        self.attempts = attempts
        self.quota_wait_seconds = quota_wait_seconds


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """Whether to ask again, and after how long."""

    again: bool
    wait_seconds: float = 0.0


_STOP = RetryDecision(again=False)


def decide_retry(
    error: ModelError, failures: Counter[FailureKind], attempts_limit: int, random: Callable[[], float]
) -> RetryDecision:
    """What the taxonomy says after this error; `failures` counts all failures so far by kind, this one included.

    Every kind has its own number of retries; `attempts_limit` bounds all attempts together, without those whose kind
    does not count (rate limits, no connection). A wait asked for by the service is kept to within a tenth; one of more
    than ten minutes is not waited for. Without one, the back-off doubles per failure of this kind, fully jittered.
    """
    rule = TAXONOMY[error.kind]
    counted = sum(number for kind, number in failures.items() if TAXONOMY[kind].counts)
    if failures[error.kind] > rule.retries or (rule.counts and counted >= attempts_limit):
        return _STOP
    asked = error.retry_after_seconds if rule.honours_retry_after else None
    if asked is None:
        longest = min(rule.cap_seconds, rule.base_seconds * 2.0 ** (failures[error.kind] - 1))
        return RetryDecision(again=True, wait_seconds=longest * random())
    if asked > LONGEST_WAIT_SECONDS:
        return _STOP
    return RetryDecision(again=True, wait_seconds=asked + random() * (_STRETCH * asked + _STRETCH_SECONDS))


async def ask(
    model: ChatModel,
    limiter: Limiter,
    request: ChatRequest,
    charge: Charge,
    *,
    attempts_limit: int,
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
    random: Callable[[], float],
    telemetry: Telemetry,
) -> tuple[ChatAnswer, tuple[Attempt, ...], float]:
    """The answer, every attempt in order (the last one is the answer's), and the seconds spent waiting for permits.

    Raises Exhausted when the taxonomy allows no further attempt; what a limiter raises when it is drained passes.
    """
    asking = _Asking(model, limiter, request, charge, attempts_limit, clock, random, telemetry)
    retrying = AsyncRetrying(
        sleep=sleep, retry=retry_if_exception(asking.may_retry), wait=asking.seconds_to_wait, reraise=True
    )
    try:
        answer: ChatAnswer = await retrying(asking.attempt)
    except ModelError as error:
        telemetry.problem(
            "attempts_exhausted", deployment=request.deployment, attempts=len(asking.attempts), kind=error.kind.value
        )
        raise Exhausted(error, tuple(asking.attempts), asking.quota_wait_seconds) from error
    return answer, tuple(asking.attempts), asking.quota_wait_seconds


class _Asking:
    """One request on its way through its attempts."""

    def __init__(
        self,
        model: ChatModel,
        limiter: Limiter,
        request: ChatRequest,
        charge: Charge,
        attempts_limit: int,
        clock: Callable[[], float],
        random: Callable[[], float],
        telemetry: Telemetry,
    ) -> None:
        self._model = model
        self._limiter = limiter
        self._request = request
        self._charge = charge
        self._attempts_limit = attempts_limit
        self._clock = clock
        self._random = random
        self._telemetry = telemetry
        self._failures: Counter[FailureKind] = Counter()
        self._decision = _STOP
        self.attempts: list[Attempt] = []
        self.quota_wait_seconds = 0.0

    async def attempt(self) -> ChatAnswer:
        """One attempt; a failure is decided on, recorded and raised."""
        try:
            answer = await self._send()
        except ModelError as error:
            self._record(error)
            raise
        number = len(self.attempts) + 1
        self.attempts.append(Attempt(number=number, status=HTTPStatus.OK, request_id=answer.request_id))
        return answer

    def may_retry(self, error: BaseException) -> bool:
        return isinstance(error, ModelError) and self._decision.again

    def seconds_to_wait(self, _: RetryCallState) -> float:
        return self._decision.wait_seconds

    async def _send(self) -> ChatAnswer:
        permit = await self._permit()
        try:
            return await self._model.complete(self._request)
        except ModelError as error:
            _settle(permit, error)
            raise

    async def _permit(self) -> Permit:
        """A permit, confirmed right before the request; one whose lease ran out is replaced, which is no attempt."""
        began = self._clock()
        try:
            while True:
                permit = await self._limiter.acquire(self._charge)
                try:
                    permit.sent()
                except PermitExpired:
                    continue
                return permit
        except ChargeTooLarge as error:
            raise ModelError(FailureKind.TOO_LARGE, str(error), sent=False) from error
        finally:
            self.quota_wait_seconds += self._clock() - began

    def _record(self, error: ModelError) -> None:
        self._failures[error.kind] += 1
        self._decision = decide_retry(error, self._failures, self._attempts_limit, self._random)
        attempt = Attempt(
            number=len(self.attempts) + 1,
            error=error.kind.value,
            status=error.status,
            request_id=error.request_id,
            wait_seconds=self._decision.wait_seconds,
        )
        self.attempts.append(attempt)
        self._telemetry.event("model_attempt_failed", deployment=self._request.deployment, **_fields(attempt))


def _settle(permit: Permit, error: ModelError) -> None:
    """Gives back what the service did not count, and tells the limiter of a refusal that slower sending avoids."""
    if not error.sent or not TAXONOMY[error.kind].charged:
        permit.refund()
    elif error.status == HTTPStatus.TOO_MANY_REQUESTS:
        permit.throttled(Throttling(error.retry_after_seconds))


def _fields(attempt: Attempt) -> dict[str, object]:
    return {
        "number": attempt.number,
        "kind": attempt.error,
        "status": attempt.status,
        "request_id": attempt.request_id,
        "wait_seconds": round(attempt.wait_seconds, 3),
    }
