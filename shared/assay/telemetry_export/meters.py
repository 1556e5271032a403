"""Instruments for every metric of `telemetry_names.py`, at little cost per value. `pipeline.py` measures with them.

The SDK sorts and hashes the attributes at every call, so counters are summed up here and read when they are sent.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from assay.telemetry import Attributes
from assay.telemetry_export.plain import plain
from assay.telemetry_names import METRICS, MetricName

Measure = Callable[[float, Attributes], None]

_MOST_SERIES = 4096


class Sums:
    """What was counted so far, by attributes; more series than that are a mistake, and are not made."""

    def __init__(self) -> None:
        self._sums: dict[tuple[Any, ...], float] = {}
        self._lock = threading.Lock()

    def add(self, amount: float, attributes: Attributes) -> None:
        key = tuple(attributes.items())
        with self._lock:
            if key in self._sums or len(self._sums) < _MOST_SERIES:
                self._sums[key] = self._sums.get(key, 0) + amount

    def observe(self, _: CallbackOptions) -> Iterable[Observation]:
        with self._lock:
            found = list(self._sums.items())
        return [Observation(amount, plain(dict(key))) for key, amount in found]


def make_instruments(meter: Meter) -> dict[str, Measure]:
    """By the metric's name, what takes its values."""
    return {one.name: _instrument(meter, one) for one in METRICS}


def _instrument(meter: Meter, metric: MetricName) -> Measure:
    described = (metric.unit, metric.meaning)
    if metric.kind == "counter":
        sums = Sums()
        meter.create_observable_counter(metric.name, [sums.observe], *described)
        return sums.add
    if metric.kind == "histogram":
        histogram = meter.create_histogram(
            metric.name, *described, explicit_bucket_boundaries_advisory=list(metric.bounds)
        )
        return lambda value, attributes: histogram.record(value, plain(attributes))
    gauge = meter.create_gauge(metric.name, *described)
    return lambda value, attributes: gauge.set(value, plain(attributes))
