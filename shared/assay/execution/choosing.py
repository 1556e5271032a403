"""Which route of a ladder a question is put to next, and which are left alone, for a while or for good.

Pure but for what limiters and breakers say now; `asking.py` makes one per question.
"""

from collections import Counter
from math import inf

from assay.execution.routes import Ladder, Route, Rung
from assay.llm.errors import TAXONOMY, FailureKind
from assay.middleware.base import Question
from assay.quota.base import Charge

# The routes of a rung are deployments of the same model: what is too long for one is so for all.
_OF_THE_MODEL = frozenset({FailureKind.CONTEXT_LENGTH})


class Choosing:
    """The ladder as one question sees it: it only goes down, and each route it has left stays left.

    `failures` are those by kind since the last step down: on every rung the question has all its tries again.
    """

    def __init__(self, ladder: Ladder, question: Question) -> None:
        self._rungs: Ladder = ladder
        self._question = question
        self._rest_until: dict[Route, float] = {}
        self._charges: dict[Route, Charge] = {}
        self.failures: Counter[FailureKind] = Counter()

    def charge(self, route: Route) -> Charge:
        """What the question is charged to the route's quota."""
        charge = self._charges.get(route)
        if charge is None:
            request = self._question.request
            tokens = route.tokens.estimate(request.counted) + request.max_tokens
            charge = self._charges[route] = Charge(tokens, f"{self._question.run}/{self._question.experiment}")
        return charge

    def choose(self, now: float) -> tuple[Route, float]:
        """The route to ask, and how long to wait before that; look again after a wait.

        In the first rung with a route whose breaker lets somebody in: the first route that can be asked at once, else
        the one with the shortest wait, for its rest or its quota. Only the rest is waited for here.
        """
        at = next((at for at, rung in enumerate(self._rungs) if _lets_in(rung, now)), None)
        if at is None:
            soonest = min((one for rung in self._rungs for one in rung), key=lambda one: one.breaker.wait_seconds(now))
            return soonest, soonest.breaker.wait_seconds(now)
        if at:
            self._step_down(self._rungs[at:])
        route = self._best(self._rungs[0], now)
        return route, self._rest_seconds(route, now)

    def has_fallback(self, route: Route, kind: FailureKind, now: float) -> bool:
        """Whether another route may be asked after this failure.

        One behind an open breaker is better than none, but not better than asking the same route again.
        """
        others = [one for rung in self._without(route, kind) for one in rung]
        may_ask_again = TAXONOMY[kind].retries > 0
        return any(one.breaker.wait_seconds(now) <= 0 for one in others) if may_ask_again else bool(others)

    def may_have_quota(self) -> bool:
        """Whether some route of the present rung has quota to wait for."""
        return any(route.limiter.wait_seconds(self.charge(route)) < inf for route in self._rungs[0])

    def leave(self, route: Route, kind: FailureKind) -> None:
        """This route is not asked again, nor are those that would fail for the same reason."""
        self._step_down(self._without(route, kind))

    def rest(self, route: Route, until: float) -> None:
        """This route is left alone for a while."""
        self._rest_until[route] = until

    def _step_down(self, rungs: Ladder) -> None:
        self._rungs = rungs
        self.failures.clear()

    def _without(self, route: Route, kind: FailureKind) -> Ladder:
        first = () if kind in _OF_THE_MODEL else tuple(one for one in self._rungs[0] if one is not route)
        return (first, *self._rungs[1:]) if first else self._rungs[1:]

    def _best(self, rung: Rung, now: float) -> Route:
        if len(rung) == 1:
            return rung[0]
        best, shortest = rung[0], inf
        for route in rung:
            seconds = max(self._rest_seconds(route, now), route.limiter.wait_seconds(self.charge(route)))
            if seconds <= 0:
                return route
            if seconds < shortest:
                best, shortest = route, seconds
        return best

    def _rest_seconds(self, route: Route, now: float) -> float:
        return max(route.breaker.wait_seconds(now), self._rest_until.get(route, now) - now)


def _lets_in(rung: Rung, now: float) -> bool:
    return any(route.breaker.wait_seconds(now) <= 0 for route in rung)
