"""Sends one request to one route: money reserved, a permit taken, the answer paid for, whatever happens in between.

`asking.py` calls it once per attempt. A cancellation at any moment gives back what was not used.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from assay.budget.base import Budget, NoBudget, Reservation
from assay.execution.model_calls import Call
from assay.execution.routes import Route
from assay.execution.stop_bell import Ring
from assay.execution.trial_clock import time_stands_still
from assay.llm.base import ChatAnswer, ChatRequest, ModelError, RateLimitHeaders
from assay.llm.errors import TAXONOMY, FailureKind
from assay.llm.pricing import Price, PriceTable
from assay.middleware.base import NOTHING_SPENT, Spent
from assay.quota.base import Charge, ChargeTooLarge, Permit, PermitExpired, Throttling
from assay.records import NO_COST, Usage
from assay.suite.models import named_model
from assay.telemetry import Telemetry

# 429s, and whether they say that the service is busy rather than that our pace is wrong.
_THROTTLINGS = {FailureKind.RATE_LIMITED: False, FailureKind.AT_CAPACITY: True, FailureKind.UNITS_BUSY: True}

NOTHING_COUNTED = Usage()
"""The usage of an answer whose server said nothing of it, as some do at the end of a stream: not free, but unknown."""


class RouteShut(Exception):
    """The route's breaker opened, or the run was stopped, while its permit was waited for."""


@dataclass(frozen=True)
class Sending:
    """How requests are sent and paid for."""

    prices: PriceTable
    clock: Callable[[], float]
    telemetry: Telemetry
    priced_as: Callable[[str], str] = named_model
    budget: Budget = field(default_factory=NoBudget)
    suite: str = ""
    _known: dict[str, Price | None] = field(default_factory=dict)

    async def send(
        self, route: Route, request: ChatRequest, charge: Charge, waited: Callable[[float], None], ring: Ring
    ) -> tuple[ChatAnswer, Spent]:
        """The answer and what it cost; `waited` is told the seconds that the permit took.

        Raises ModelError, RouteShut, QuotaElsewhere, RunStopped when the budget is used up, and what a drained limiter
        raises.
        """
        with time_stands_still():
            reservation = await self.budget.reserve(self._highest_cost(route, request))
            began = self.clock()
            try:
                permit = await self._permit(route, charge, ring)
            except BaseException:
                reservation.release()
                raise
            finally:
                waited(self.clock() - began)
        call = Call(self.telemetry, route, request, self.suite)
        with call.under_way(quota_wait_seconds=self.clock() - began):
            return await self._exchange(route, request, _Leave(permit, charge, reservation), call)

    def spent(self, route: Route, model: str | None, usage: Usage) -> Spent:
        """What the tokens cost; nothing where no model says that it counted them."""
        return Spent(usage, self._cost(route, model, usage)) if model else NOTHING_SPENT

    async def _permit(self, route: Route, charge: Charge, ring: Ring) -> Permit:
        """A permit, confirmed right before the request; one whose lease ran out is replaced, which is no attempt."""
        try:
            while True:
                permit = await route.limiter.acquire(charge)
                if ring.is_rung or route.breaker.wait_seconds(self.clock()) > 0:
                    permit.refund()
                    raise RouteShut
                try:
                    permit.sent()
                except PermitExpired:
                    continue
                return permit
        except ChargeTooLarge as error:
            raise ModelError(FailureKind.TOO_LARGE, str(error), sent=False) from error

    async def _exchange(
        self, route: Route, request: ChatRequest, leave: "_Leave", call: Call
    ) -> tuple[ChatAnswer, Spent]:
        route.breaker.enter()
        try:
            answer = await route.model.complete(request)
        except ModelError as error:
            self._fail(route, request, error, leave)
            call.failed(error, self.spent(route, error.model, error.usage))
            raise
        except BaseException:
            # Sent and cut off: the service may go on answering, and bill it.
            route.breaker.left()
            leave.reservation.settle(None)
            raise
        self._is_well(route)
        spent = self.spent(route, answer.model, answer.usage)
        call.answered(answer, spent)
        leave.settle(answer.usage, spent.cost_usd)
        self._learn(route, request, answer.model, answer.usage)
        _announce(route, answer.rate_limit)
        return answer, spent

    def _fail(self, route: Route, request: ChatRequest, error: ModelError, leave: "_Leave") -> None:
        if route.is_provisioned and error.kind is FailureKind.RATE_LIMITED:
            error.kind = FailureKind.UNITS_BUSY
        self._judge_health(route, error)
        if error.model:
            leave.settle(error.usage, self._cost(route, error.model, error.usage))
            self._learn(route, request, error.model, error.usage)
        elif error.sent and TAXONOMY[error.kind].maybe_billed:
            leave.reservation.settle(None)
        else:
            leave.reservation.release()
        _slow_down(leave.permit, error)
        _announce(route, error.rate_limit)

    def _judge_health(self, route: Route, error: ModelError) -> None:
        """What a failure says of the deployment: whoever answers is there, even if it refuses."""
        if not TAXONOMY[error.kind].breaks:
            if error.sent:
                self._is_well(route)
            else:
                route.breaker.left()
        elif route.breaker.failed(self.clock()):
            self.telemetry.problem("breaker_opened", deployment=route.reference, kind=error.kind.value)

    def _is_well(self, route: Route) -> None:
        if route.breaker.succeeded():
            self.telemetry.event("breaker_closed", deployment=route.reference)

    def _highest_cost(self, route: Route, request: ChatRequest) -> Decimal:
        """What the request may cost at most; nothing where the model's price is not known."""
        price = self._price(route.answers_as or self.priced_as(route.reference))
        return price.highest(route.tokens.highest(request.counted), request.max_tokens) if price else NO_COST

    def _learn(self, route: Route, request: ChatRequest, model: str, usage: Usage) -> None:
        if self._price(model):
            route.answers_as = model
        if usage.input_tokens:
            route.tokens.learn(request.counted, usage.input_tokens)

    def _cost(self, route: Route, model: str, usage: Usage) -> Decimal | None:
        """At the price of the model that answered, else at the one that the suite says the deployment has."""
        said = self.priced_as(route.reference)
        price = self._price(model) or (self._price(said) if said != named_model(route.reference) else None)
        return None if price is None or usage == NOTHING_COUNTED else price.of(usage)

    def _price(self, model: str) -> Price | None:
        if model not in self._known:
            self._known[model] = self.prices.price(model)
        return self._known[model]


@dataclass(frozen=True, slots=True)
class _Leave:
    """Leave to send one request: the quota's, for what it was charged, and the budget's."""

    permit: Permit
    charge: Charge
    reservation: Reservation

    def settle(self, usage: Usage, cost_usd: Decimal | None) -> None:
        """The service answered; where it counted nothing, what was charged is taken for what was used."""
        is_counted = usage != NOTHING_COUNTED
        self.permit.settle(usage.input_tokens + usage.output_tokens if is_counted else self.charge.tokens)
        self.reservation.settle(cost_usd)


def _slow_down(permit: Permit, error: ModelError) -> None:
    """Gives back what the service did not count, and tells the limiter of a refusal that slower sending avoids."""
    if not error.sent or not TAXONOMY[error.kind].charged:
        permit.refund()
    elif error.kind in _THROTTLINGS:
        permit.throttled(Throttling(error.retry_after_seconds, error.axis, _THROTTLINGS[error.kind]))


def _announce(route: Route, said: RateLimitHeaders) -> None:
    if said.limit_requests is not None or said.limit_tokens is not None:
        route.limiter.announced(said.limit_requests, said.limit_tokens)
