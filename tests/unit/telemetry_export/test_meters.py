"""Metrics that wait for OpenTelemetry's instruments come to what they come to when each is measured at once."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader

from assay.telemetry_export.meters import HANDED_OVER_AT_ONCE, Meters
from assay.telemetry_names import CALL_DURATION, ERROR_TYPE, HEARTBEAT, OUTCOME, REQUEST_MODEL, SUITE, TRIALS

DELTA, CUMULATIVE = AggregationTemporality.DELTA, AggregationTemporality.CUMULATIVE
MINI = {REQUEST_MODEL: "mini", ERROR_TYPE: None}


class Bench:
    """Meters, and what their reader finds."""

    def __init__(self, temporality: AggregationTemporality) -> None:
        self.reader = InMemoryMetricReader({Counter: temporality, Histogram: temporality})
        self.provider = MeterProvider([self.reader], exemplar_filter=AlwaysOffExemplarFilter(), shutdown_on_exit=False)
        self.meters = Meters(self.provider.get_meter("assay"))

    def found(self) -> dict[str, list[tuple[Any, ...]]]:
        """The points of each metric: attributes and value, or count, sum, lowest and highest."""
        read = self.reader.get_metrics_data()
        metrics = [one for each in read.resource_metrics for one in each.scope_metrics[0].metrics] if read else []
        return {one.name: [_point(point) for point in one.data.data_points] for one in metrics}


def _point(point: Any) -> tuple[Any, ...]:
    if hasattr(point, "bucket_counts"):
        return dict(point.attributes), point.count, point.sum, point.min, point.max
    return dict(point.attributes), point.value


@pytest.fixture(params=[DELTA, CUMULATIVE])
def bench(request: pytest.FixtureRequest) -> Any:
    bench = Bench(request.param)
    yield bench
    bench.provider.shutdown()


def test_values_are_there_when_they_are_read(bench: Bench) -> None:
    """Counters add up by their attributes, histograms keep every value, gauges the latest."""
    for amount in (1, 2):
        bench.meters.measure(TRIALS, amount, {SUITE: "triage", OUTCOME: "succeeded"})
    bench.meters.measure(TRIALS, 1, {SUITE: "triage", OUTCOME: "failed"})
    for seconds in (0.5, 0.25):
        bench.meters.measure(CALL_DURATION, seconds, MINI)
    for trials in (12, 7):
        bench.meters.measure(HEARTBEAT, trials, {})

    assert bench.found() == {
        TRIALS.name: [
            ({SUITE: "triage", OUTCOME: "succeeded"}, 3),
            ({SUITE: "triage", OUTCOME: "failed"}, 1),
        ],
        CALL_DURATION.name: [({REQUEST_MODEL: "mini"}, 2, 0.75, 0.25, 0.5)],
        HEARTBEAT.name: [({}, 7)],
    }


def test_many_values_are_handed_over_before_they_are_read(bench: Bench) -> None:
    """What waits is bounded, and nothing of it is lost or counted twice."""
    values = 3 * HANDED_OVER_AT_ONCE + 5
    for _ in range(values):
        bench.meters.measure(TRIALS, 1, {SUITE: "triage"})
        assert len(bench.meters._waiting) < HANDED_OVER_AT_ONCE
    bench.meters.measure(CALL_DURATION, 1.0, MINI)

    found = bench.found()
    assert found[TRIALS.name] == [({SUITE: "triage"}, values)]
    assert found[CALL_DURATION.name][0][1] == 1


def test_what_is_wanted_since_the_last_reading_begins_anew() -> None:
    """So that Azure Monitor, which adds deltas up, counts nothing twice; a metric without values is not sent."""
    bench = Bench(DELTA)
    bench.meters.measure(TRIALS, 1, {SUITE: "triage"})
    bench.meters.measure(CALL_DURATION, 1.0, MINI)
    assert bench.found().keys() == {TRIALS.name, CALL_DURATION.name}
    bench.meters.measure(TRIALS, 4, {SUITE: "triage"})
    assert bench.found() == {TRIALS.name: [({SUITE: "triage"}, 4)]}
    bench.provider.shutdown()
