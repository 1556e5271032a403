"""Values of metrics, summed up here and given to OpenTelemetry when they are sent. `pipeline.py` measures with them.

The SDK's instruments copy, check, sort and hash the attributes at every value, which cost as much as all the rest here.
"""

import math
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from opentelemetry.sdk.metrics import Counter as CounterClass
from opentelemetry.sdk.metrics import Histogram as HistogramClass
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from assay.telemetry import Attributes
from assay.telemetry_export.plain import plain
from assay.telemetry_names import METRICS, MetricKind, MetricName

ADDED_AT_ONCE = 512
"""Values wait to be added together: one by one, between other work, each finds the processor's caches without us."""

MOST_SERIES = 4096
"""More sets of attributes of one metric than that are a mistake, and are not kept."""

Temporality = Mapping[type, AggregationTemporality]
"""By the SDK's class of instrument, whether values since the last sending are wanted, or since the beginning."""


class Series(Protocol):
    """The values of one metric with the same attributes."""

    def add(self, value: float) -> None:
        """One more value."""
        ...

    def point(self, attributes: Attributes, since_ns: int, now_ns: int) -> NumberDataPoint | HistogramDataPoint:
        """What they come to."""
        ...


@dataclass(slots=True)
class _Total:
    value: float = 0

    def add(self, value: float) -> None:
        self.value += value

    def point(self, attributes: Attributes, since_ns: int, now_ns: int) -> NumberDataPoint:
        return NumberDataPoint(attributes, since_ns, now_ns, self.value)


@dataclass(slots=True)
class _Latest:
    value: float = 0

    def add(self, value: float) -> None:
        self.value = value

    def point(self, attributes: Attributes, since_ns: int, now_ns: int) -> NumberDataPoint:
        return NumberDataPoint(attributes, since_ns, now_ns, self.value)


@dataclass(slots=True)
class _Distribution:
    bounds: tuple[float, ...]
    counts: list[int] = field(init=False)
    total: float = 0
    lowest: float = math.inf
    highest: float = -math.inf

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value
        self.lowest = min(self.lowest, value)
        self.highest = max(self.highest, value)

    def point(self, attributes: Attributes, since_ns: int, now_ns: int) -> HistogramDataPoint:
        counts = tuple(self.counts)
        return HistogramDataPoint(
            attributes,
            since_ns,
            now_ns,
            sum(counts),
            self.total,
            counts,
            self.bounds,
            self.lowest,
            self.highest,
        )


class Meters:
    """The values of every metric of `telemetry_names.py` for one place that they are sent to."""

    def __init__(self, temporality: Temporality, resource: Resource, scope: InstrumentationScope) -> None:
        self._resource, self._scope = resource, scope
        self._temporality: dict[MetricKind, AggregationTemporality] = {
            "counter": temporality.get(CounterClass, AggregationTemporality.CUMULATIVE),
            "histogram": temporality.get(HistogramClass, AggregationTemporality.CUMULATIVE),
            "gauge": AggregationTemporality.CUMULATIVE,
        }
        self._series: dict[str, dict[tuple[Any, ...], Series]] = {one.name: {} for one in METRICS}
        self._waiting: deque[tuple[MetricName, float, Attributes]] = deque()
        self._lock = threading.Lock()
        self._began_ns = self._collected_ns = time.time_ns()

    def measure(self, metric: MetricName, value: float, attributes: Attributes) -> None:
        """Adds to a counter, records a value of a histogram, or sets a gauge. The attributes must stay as they are."""
        self._waiting.append((metric, value, attributes))
        if len(self._waiting) >= ADDED_AT_ONCE:
            with self._lock:
                self._add_waiting()

    def collect(self, *_: Any, **__: Any) -> MetricsData | None:
        """What there is to send; None for nothing. Values that are wanted since the last sending begin anew."""
        with self._lock:
            self._add_waiting()
            now_ns = time.time_ns()
            found = [self._take(one, series, now_ns) for one in METRICS if (series := self._series[one.name])]
            self._collected_ns = now_ns
        if not found:
            return None
        scoped = ScopeMetrics(self._scope, found, self._scope.schema_url or "")
        return MetricsData([ResourceMetrics(self._resource, [scoped], self._resource.schema_url)])

    def _add_waiting(self) -> None:
        while self._waiting:
            metric, value, attributes = self._waiting.popleft()
            series, key = self._series[metric.name], tuple(attributes.items())
            if key not in series:
                if len(series) >= MOST_SERIES:
                    continue
                series[key] = _series(metric)
            series[key].add(value)

    def _take(self, metric: MetricName, series: dict[tuple[Any, ...], Series], now_ns: int) -> Metric:
        temporality = self._temporality[metric.kind]
        is_delta = temporality is AggregationTemporality.DELTA
        since_ns = self._collected_ns if is_delta else self._began_ns
        points: list[Any] = [one.point(plain(dict(key)), since_ns, now_ns) for key, one in series.items()]
        if is_delta:
            series.clear()
        return Metric(metric.name, metric.meaning, metric.unit, _shaped(metric.kind, points, temporality))


def _series(metric: MetricName) -> Series:
    match metric.kind:
        case "counter":
            return _Total()
        case "histogram":
            return _Distribution(metric.bounds)
        case "gauge":
            return _Latest()


def _shaped(kind: MetricKind, points: list[Any], temporality: AggregationTemporality) -> Sum | Histogram | Gauge:
    match kind:
        case "counter":
            return Sum(points, temporality, is_monotonic=True)
        case "histogram":
            return Histogram(points, temporality)
        case "gauge":
            return Gauge(points)
