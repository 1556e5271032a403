"""Metrics as they are summed up and sent, held to what OpenTelemetry's own instruments make of the same values."""

from __future__ import annotations

import math
from typing import Any

import pytest
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader, MetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from assay.telemetry_export.meters import MOST_SERIES, Meters
from assay.telemetry_names import (
    CALL_DURATION,
    DEPLOYMENT,
    ERROR_TYPE,
    HEARTBEAT,
    OUTCOME,
    QUEUE,
    QUEUE_AGE,
    REQUEST_MODEL,
    SUITE,
    TRIALS,
)

RESOURCE, SCOPE = Resource.create({"service.name": "assay-test"}), InstrumentationScope("assay", "1")
DELTA, CUMULATIVE = AggregationTemporality.DELTA, AggregationTemporality.CUMULATIVE
ROUNDS: list[list[tuple[Any, float, dict[str, Any]]]] = [
    [
        (TRIALS, 1, {SUITE: "triage", OUTCOME: "succeeded"}),
        (TRIALS, 1, {SUITE: "triage", OUTCOME: "failed"}),
        (TRIALS, 2, {SUITE: "triage", OUTCOME: "succeeded"}),
        (CALL_DURATION, 0.02, {REQUEST_MODEL: "mini", ERROR_TYPE: None}),
        (CALL_DURATION, 0.021, {REQUEST_MODEL: "mini", ERROR_TYPE: None}),
        (CALL_DURATION, 500.0, {REQUEST_MODEL: "mini", ERROR_TYPE: "timeout"}),
        (HEARTBEAT, 12, {}),
    ],
    [],
    [
        (TRIALS, 1, {SUITE: "triage", OUTCOME: "succeeded"}),
        (CALL_DURATION, 0.0, {REQUEST_MODEL: "mini", ERROR_TYPE: None}),
        (HEARTBEAT, 7, {}),
        (HEARTBEAT, 9, {}),
    ],
]


def meters(temporality: AggregationTemporality = CUMULATIVE) -> Meters:
    return Meters({Counter: temporality, Histogram: temporality}, RESOURCE, SCOPE)


def told(found: MetricsData | None) -> dict[str, Any]:
    """What a collection says, by metric: shape, temporality and points, without their times."""
    metrics = (
        [one for each in found.resource_metrics for scope in each.scope_metrics for one in scope.metrics]
        if found
        else []
    )
    return {
        one.name: (
            type(one.data),
            getattr(one.data, "aggregation_temporality", None),
            one.unit,
            sorted((_point(point) for point in one.data.data_points), key=str),
        )
        for one in metrics
    }


def _point(point: Any) -> tuple[Any, ...]:
    if not hasattr(point, "bucket_counts"):
        return dict(point.attributes), point.value
    numbers = (point.count, point.sum, tuple(point.bucket_counts), tuple(point.explicit_bounds), point.min, point.max)
    return dict(point.attributes), *numbers


@pytest.mark.parametrize("temporality", [DELTA, CUMULATIVE])
def test_values_come_to_what_the_sdk_makes_of_them(temporality: AggregationTemporality) -> None:
    """Since the last sending as Azure Monitor wants them, or since the beginning as collectors do."""
    reader = InMemoryMetricReader({Counter: temporality, Histogram: temporality})
    provider = MeterProvider([reader], RESOURCE, AlwaysOffExemplarFilter(), shutdown_on_exit=False)
    sdk, mine = provider.get_meter("assay"), meters(temporality)
    instruments: dict[str, Any] = {
        TRIALS.name: sdk.create_counter(TRIALS.name, TRIALS.unit).add,
        CALL_DURATION.name: sdk.create_histogram(
            CALL_DURATION.name, CALL_DURATION.unit, explicit_bucket_boundaries_advisory=list(CALL_DURATION.bounds)
        ).record,
        HEARTBEAT.name: sdk.create_gauge(HEARTBEAT.name, HEARTBEAT.unit).set,
    }

    for values in ROUNDS:
        for metric, value, attributes in values:
            mine.measure(metric, value, attributes)
            instruments[metric.name](value, {name: one for name, one in attributes.items() if one is not None})
        assert told(mine.collect()) == told(reader.get_metrics_data())
    provider.shutdown()


def test_a_histogram_alone_is_sent() -> None:
    """A host counts nothing and still says how old its messages are."""
    mine = meters(DELTA)
    assert mine.collect() is None
    mine.measure(QUEUE_AGE, 3.0, {QUEUE: "trials"})
    assert told(mine.collect()).keys() == {QUEUE_AGE.name}
    assert mine.collect() is None


def test_points_say_since_when_they_count() -> None:
    """Each delta begins where the one before it ended, so that none is counted twice."""
    mine, times = meters(DELTA), []
    for _ in range(2):
        mine.measure(TRIALS, 1, {SUITE: "triage"})
        found = mine.collect()
        assert found
        times += [
            (point.start_time_unix_nano, point.time_unix_nano)
            for point in found.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
        ]
    (began, first), (again, second) = times
    assert (began <= first, again, first <= second) == (True, first, True)


def test_attributes_without_end_do_not_take_the_memory() -> None:
    """An attribute that differs for every request is a mistake; those that were there first go on."""
    mine = meters()
    for number in range(MOST_SERIES + 10):
        mine.measure(TRIALS, 1, {DEPLOYMENT: str(number)})
    mine.measure(TRIALS, 1, {DEPLOYMENT: "0"})
    *_, points = told(mine.collect())[TRIALS.name]
    assert (len(points), math.fsum(value for _, value in points)) == (MOST_SERIES, MOST_SERIES + 1)
