"""Telemetry with a clock: the CPU time that its calls and its threads take within a worker. `telemetry.py` measures so.

What it takes is a part of the round's own CPU time, so that work of others on the machine slows down both alike.
"""

import threading
import time
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Any

from assay.telemetry import Attributes, Telemetry
from assay.telemetry_names import MetricName, SpanName

_NONE: Attributes = {}
_THREADS = "Otel"
"""So begin the names of the threads that OpenTelemetry sends with."""


class TimedTelemetry:
    """Calls `inner`, and counts the time that this takes."""

    def __init__(self, inner: Telemetry) -> None:
        self._inner = inner
        self._calls_ns = 0

    @property
    def cpu_seconds(self) -> float:
        """CPU time so far, of all calls and of the threads that send."""
        senders = [one.ident for one in threading.enumerate() if one.name.startswith(_THREADS) and one.ident]
        sending = sum(time.clock_gettime(time.pthread_getcpuclockid(one)) for one in senders)
        return self._calls_ns / 1e9 + sending

    def event(self, name: str, **fields: Any) -> None:
        self.timed(self._inner.event, name, **fields)

    def problem(self, name: str, **fields: Any) -> None:
        self.timed(self._inner.problem, name, **fields)

    def count(self, metric: MetricName, amount: float, attributes: Attributes = _NONE) -> None:
        self.timed(self._inner.count, metric, amount, attributes)

    def record(self, metric: MetricName, value: float, attributes: Attributes = _NONE) -> None:
        self.timed(self._inner.record, metric, value, attributes)

    def span(self, name: SpanName, attributes: Attributes = _NONE, began: datetime | None = None) -> "_TimedSpan":
        return _TimedSpan(self, self.timed(self._inner.span, name, attributes, began))

    def flush(self) -> None:
        """Sends all there is, if it goes anywhere."""
        if flush := getattr(self._inner, "flush", None):
            self.timed(flush)

    def timed(self, call: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """What the call returns."""
        began = time.thread_time_ns()
        try:
            return call(*args, **named)
        finally:
            self._calls_ns += time.thread_time_ns() - began


class _TimedSpan:
    def __init__(self, telemetry: TimedTelemetry, inner: Any) -> None:
        self._timed, self._inner = telemetry.timed, inner

    def set(self, attributes: Attributes) -> None:
        self._timed(self._inner.set, attributes)

    def __enter__(self) -> "_TimedSpan":
        self._timed(self._inner.__enter__)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._timed(self._inner.__exit__, kind, error, at)
