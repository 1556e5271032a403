"""Whose turn it is among the flows that wait for one deployment: stride scheduling on granted tokens.

Pure; used by `granting.py`. Source: Waldspurger and Weihl, Stride Scheduling (1995), with equal weights.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from assay.quota.base import Charge


class Waiting(Protocol):
    """Something that waits to be granted its charge."""

    @property
    def charge(self) -> Charge: ...


Waiter = TypeVar("Waiter", bound=Waiting)


@dataclass(slots=True)
class _Flow(Generic[Waiter]):
    """The waiters of one flow in order, and how many tokens the flow has had on the common scale of `Turns`."""

    had: float
    waiting: deque[Waiter] = field(default_factory=deque)
    tokens: int = 0


class Turns(Generic[Waiter]):
    """Waiters of several flows. The flow that has had the fewest tokens comes next; within a flow order is kept.

    A flow that begins to wait starts where the others are now, not at zero: what it did not use is not saved up.
    """

    def __init__(self) -> None:
        self._flows: dict[str, _Flow[Waiter]] = {}
        self._left: dict[str, float] = {}
        self._now = 0.0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, waiter: Waiter) -> None:
        flow = self._flows.get(waiter.charge.flow) or self._enter(waiter.charge.flow)
        flow.waiting.append(waiter)
        flow.tokens += waiter.charge.tokens
        self._count += 1

    def first(self) -> Waiter | None:
        """Who comes next; None when nobody waits."""
        if not self._flows:
            return None
        return self._next().waiting[0]

    def take(self) -> Waiter:
        """Removes who comes next and charges its flow."""
        flow = self._next()
        waiter = flow.waiting[0]
        self._now = flow.had
        flow.had += waiter.charge.tokens
        self.forget(waiter)
        return waiter

    def forget(self, waiter: Waiter) -> None:
        """Removes somebody who no longer waits; costs its flow nothing. Without effect on a waiter already gone."""
        name = waiter.charge.flow
        flow = self._flows.get(name)
        if flow is None or waiter not in flow.waiting:
            return
        flow.waiting.remove(waiter)
        flow.tokens -= waiter.charge.tokens
        self._count -= 1
        if not flow.waiting:
            self._left[name] = self._flows.pop(name).had

    def clear(self) -> list[Waiter]:
        """Forgets everybody; returns them."""
        waiters = [waiter for flow in self._flows.values() for waiter in flow.waiting]
        self._flows.clear()
        self._count = 0
        return waiters

    def ahead_of(self, charge: Charge) -> tuple[int, int]:
        """Requests and tokens that would be granted before this charge, if it began to wait now."""
        own = self._flows.get(charge.flow)
        requests, tokens = (len(own.waiting), own.tokens) if own else (0, 0)
        before_requests, before_tokens = requests, tokens
        for flow in self._flows.values():
            if flow is not own:
                before_requests += min(len(flow.waiting), requests + 1)
                before_tokens += min(flow.tokens, tokens + charge.tokens)
        return before_requests, before_tokens

    def _next(self) -> _Flow[Waiter]:
        if len(self._flows) == 1:
            return next(iter(self._flows.values()))
        return min(self._flows.values(), key=lambda flow: flow.had)

    def _enter(self, name: str) -> _Flow[Waiter]:
        self._left = {left: had for left, had in self._left.items() if had > self._now}
        flow = self._flows[name] = _Flow(max(self._left.pop(name, 0.0), self._now))
        return flow
