"""What is to be sent, by OpenTelemetry's SDK: batches in threads of their own, bounded, nothing registered globally.

As nothing is global, no library of this process can send anything through it, and no instrumentation is switched on.
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context
from opentelemetry.trace.status import Status, StatusCode

from assay import __version__
from assay.telemetry import Attributes
from assay.telemetry_export.meters import Meters
from assay.telemetry_export.plain import plain
from assay.telemetry_export.tree import FinishedSpan, Place
from assay.telemetry_names import ERROR_TYPE, LOST, SIGNAL, MetricName

MOST_WAITING = 2048
"""Records of a signal that wait to be sent; what comes while so many wait is lost, and counted."""

CLOSING_SECONDS = 5.0
"""How long the end of a process waits for what is left to be sent."""

_SCOPE = "assay"
_KINDS = {
    "internal": SpanKind.INTERNAL,
    "client": SpanKind.CLIENT,
    "consumer": SpanKind.CONSUMER,
    "server": SpanKind.SERVER,
}
_FLAGS = TraceFlags(TraceFlags.SAMPLED)


@dataclass(frozen=True)
class Exporters:
    """Where each signal is sent; to several places where several are set."""

    spans: tuple[SpanExporter, ...] = ()
    metrics: tuple[MetricExporter, ...] = ()
    logs: tuple[LogRecordExporter, ...] = ()


@dataclass(eq=False)
class Waiting:
    """Counts what waits to be sent to one place, and what was lost on the way."""

    signal: str
    lost: Callable[[str, int], None]
    given: int = 0
    taken: int = 0

    def has_room(self) -> bool:
        """Takes a place among those that wait, unless all are taken."""
        if self.given - self.taken >= MOST_WAITING:
            self.lost(self.signal, 1)
            return False
        self.given += 1
        return True


class _Counted:
    """An exporter of spans or log records that counts what it takes, and what did not arrive."""

    def __init__(self, inner: Any, waiting: Waiting) -> None:
        self._inner, self._waiting = inner, waiting

    def export(self, batch: Sequence[Any]) -> Any:
        self._waiting.taken += len(batch)
        arrived = False
        try:
            result = self._inner.export(batch)
            arrived = result.name == "SUCCESS"
        finally:
            if not arrived:
                self._waiting.lost(self._waiting.signal, len(batch))
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


class _GivenIds(IdGenerator):
    """The ids that the tree gave. Set right before a span is made, under the pipeline's lock."""

    place = Place(1, 1)

    def generate_span_id(self) -> int:
        return self.place.span_id

    def generate_trace_id(self) -> int:
        return self.place.trace_id


@dataclass(eq=False)
class Pipeline:
    """Sends spans, log records and metrics. Nothing here waits for the network, and nothing raises for it."""

    exporters: Exporters
    resource: Attributes
    _lost: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        resource = Resource.create(dict(self.resource))
        self._ids = _GivenIds()
        self._traces = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False, id_generator=self._ids)
        self._logs = LoggerProvider(resource, shutdown_on_exit=False)
        self._spans_waiting = [self._add_spans(one) for one in self.exporters.spans]
        self._logs_waiting = [self._add_logs(one) for one in self.exporters.logs]
        readers = [PeriodicExportingMetricReader(one) for one in self.exporters.metrics]
        self._metrics = MeterProvider(readers, resource, AlwaysOffExemplarFilter(), shutdown_on_exit=False)
        self._meters = Meters(self._metrics.get_meter(_SCOPE, __version__))
        self._senders: list[Any] = [self._traces, self._logs, self._metrics]
        self._tracer = self._traces.get_tracer(_SCOPE, __version__)
        self._logger = self._logs.get_logger(_SCOPE, __version__)

    def span(self, span: FinishedSpan) -> None:
        """Sends a span soon."""
        with self._lock:
            if not _has_room(self._spans_waiting):
                return
            self._ids.place = span.place
            made = self._tracer.start_span(
                span.title,
                _context(Place(span.place.trace_id, span.parent_id)) if span.parent_id else Context(),
                _KINDS[span.name.kind],
                plain(span.attributes),
                start_time=span.began_ns,
            )
        if span.has_failed:
            made.set_status(Status(StatusCode.ERROR, str(span.attributes.get(ERROR_TYPE, ""))))
        made.end(span.ended_ns)

    def log(self, name: str, is_problem: bool, attributes: Attributes, place: Place | None, at_ns: int) -> None:
        """Sends a log record soon, with the event's name as its body."""
        if not _has_room(self._logs_waiting):
            return
        severity = SeverityNumber.WARN if is_problem else SeverityNumber.INFO
        record = LogRecord(
            timestamp=at_ns,
            context=_context(place) if place else Context(),
            severity_text="WARNING" if is_problem else "INFO",
            severity_number=severity,
            body=name,
            attributes=plain(attributes),
        )
        self._logger.emit(record)

    def measure(self, metric: MetricName, value: float, attributes: Attributes) -> None:
        """Adds to a counter, records a value of a histogram, or sets a gauge."""
        if self.exporters.metrics:
            self._meters.measure(metric, value, attributes)

    @property
    def lost(self) -> Counter[str]:
        """Spans and log records that did not arrive, by signal."""
        return Counter(self._lost)

    def flush(self) -> None:
        """Sends all there is, and returns when it is sent or lost."""
        for one in self._senders:
            one.force_flush()

    def close(self) -> None:
        """Sends what is left, for `CLOSING_SECONDS` at most; a second call does nothing."""
        ends = [threading.Thread(target=one.shutdown, daemon=True) for one in self._senders]
        for end in ends:
            end.start()
        for end in ends:
            end.join(CLOSING_SECONDS)

    def _lose(self, signal: str, records: int) -> None:
        self._lost[signal] += records
        self.measure(LOST, records, {SIGNAL: signal})

    def _add_spans(self, exporter: SpanExporter) -> Waiting:
        waiting = Waiting("spans", self._lose)
        counted: Any = _Counted(exporter, waiting)
        self._traces.add_span_processor(BatchSpanProcessor(counted, max_queue_size=2 * MOST_WAITING))
        return waiting

    def _add_logs(self, exporter: LogRecordExporter) -> Waiting:
        waiting = Waiting("logs", self._lose)
        counted: Any = _Counted(exporter, waiting)
        self._logs.add_log_record_processor(BatchLogRecordProcessor(counted, max_queue_size=2 * MOST_WAITING))
        return waiting


def _has_room(waiting: list[Waiting]) -> bool:
    """Whether all places take one more; one that is down must not make others get it and itself not."""
    return bool(waiting) and all([one.has_room() for one in waiting])


def _context(place: Place) -> Context:
    context = SpanContext(place.trace_id, place.span_id, is_remote=True, trace_flags=_FLAGS)
    return set_span_in_context(NonRecordingSpan(context), Context())
