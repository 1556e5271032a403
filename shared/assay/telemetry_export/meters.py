"""Values of metrics on their way to OpenTelemetry's instruments. `pipeline.py` measures with them.

The SDK copies, checks, sorts and hashes the attributes of every value. So values wait, and are handed over together.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from assay.telemetry import Attributes
from assay.telemetry_export.plain import plain
from assay.telemetry_names import METRICS, MetricName

HANDED_OVER_AT_ONCE = 512
"""One by one, between other work, each value would find the processor's caches without the SDK in them."""

_Measure = Callable[[float, dict[str, Any]], None]


class Meters:
    """The instruments of every metric of `telemetry_names.py`, and the values that wait for them."""

    def __init__(self, meter: Meter) -> None:
        self._instruments = {one.name: _instrument(meter, one) for one in METRICS}
        self._waiting: deque[tuple[MetricName, float, Attributes]] = deque()
        self._lock = threading.Lock()
        # The SDK asks observable instruments before it reads the others; this one observes nothing.
        meter.create_observable_gauge("assay.waiting", [self._collected])

    def measure(self, metric: MetricName, value: float, attributes: Attributes) -> None:
        """Adds to a counter, records a value of a histogram, or sets a gauge. The attributes must stay as they are."""
        self._waiting.append((metric, value, attributes))
        if len(self._waiting) >= HANDED_OVER_AT_ONCE:
            self._hand_over()

    def _collected(self, _: CallbackOptions) -> Iterable[Observation]:
        self._hand_over()
        return ()

    def _hand_over(self) -> None:
        """Counters by their sum, gauges by their latest value, histograms value by value."""
        latest: dict[tuple[str, tuple[Any, ...]], float] = {}
        with self._lock:
            while self._waiting:
                metric, value, attributes = self._waiting.popleft()
                if metric.kind == "histogram":
                    self._instruments[metric.name](value, plain(attributes))
                    continue
                series = metric.name, tuple(attributes.items())
                latest[series] = value + (latest.get(series, 0) if metric.kind == "counter" else 0)
            for (name, key), value in latest.items():
                self._instruments[name](value, plain(dict(key)))


def _instrument(meter: Meter, metric: MetricName) -> _Measure:
    described = metric.name, metric.unit, metric.meaning
    match metric.kind:
        case "counter":
            return meter.create_counter(*described).add
        case "histogram":
            return meter.create_histogram(*described, explicit_bucket_boundaries_advisory=list(metric.bounds)).record
        case "gauge":
            return meter.create_gauge(*described).set
