"""Telemetry that leaves the process: what the tables of `telemetry_names.py` name, redacted. `opening.py` makes it."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from assay.telemetry import LOGGER, Attributes, Redact, Telemetry, bound_fields, redacted
from assay.telemetry_export.tree import FinishedSpan, OpenSpan, Tree, place_here
from assay.telemetry_names import BOUND_FIELDS, EVENT_NAME, EVENTS, MetricName, SpanName, attribute

if TYPE_CHECKING:
    from assay.telemetry_export.pipeline import Pipeline

_NONE: Attributes = {}
_FIELDS = {one.name: frozenset((*one.fields, *BOUND_FIELDS)) for one in EVENTS}
_NO_FIELDS = frozenset(BOUND_FIELDS)


class ExportedTelemetry:
    """Sends events, spans and metrics, besides the log's lines. Fields that the tables do not name stay here.

    `logs_events` says whether events that are no problems are log lines as well: a host that sends lines to the same
    place would send them twice.
    """

    def __init__(
        self,
        open_pipeline: "Callable[[], Pipeline]",
        log: Telemetry,
        redact: Redact,
        share: float,
        logs_events: bool = True,
    ) -> None:
        self._open_pipeline, self._log, self._redact, self._logs_events = open_pipeline, log, redact, logs_events
        self._tree = Tree(share, self._keep)
        self._logger = logging.getLogger(LOGGER)
        self._opening = threading.Lock()
        self._pipeline: Pipeline | None = None
        self._is_closed = False

    def event(self, name: str, **fields: Any) -> None:
        if self._logs_events:
            self._log.event(name, **fields)
        if self._logger.isEnabledFor(logging.INFO):
            self._send(name, fields, is_problem=False)

    def problem(self, name: str, **fields: Any) -> None:
        self._log.problem(name, **fields)
        if self._logger.isEnabledFor(logging.WARNING):
            self._send(name, fields, is_problem=True)

    def span(self, name: SpanName, attributes: Attributes = _NONE, began: datetime | None = None) -> OpenSpan:
        return self._tree.span(name, attributes, began)

    def count(self, metric: MetricName, amount: float, attributes: Attributes = _NONE) -> None:
        if pipeline := self._opened():
            pipeline.measure(metric, amount, attributes)

    record = count

    @property
    def lost(self) -> Mapping[str, int]:
        """Spans and log records that did not arrive, by signal."""
        return self._pipeline.lost if self._pipeline else {}

    def flush(self) -> None:
        """Sends all there is; waits for it."""
        if self._pipeline:
            self._pipeline.flush()

    def close(self) -> None:
        """Sends what is left, for some seconds at most, and nothing from then on."""
        self._is_closed = True
        pipeline, self._pipeline = self._pipeline, None
        if pipeline:
            pipeline.close()

    def _send(self, name: str, fields: Mapping[str, Any], is_problem: bool) -> None:
        pipeline = self._opened()
        if pipeline is None:
            return
        known, wanted = {**bound_fields(), **fields}, _FIELDS.get(name, _NO_FIELDS)
        said = redacted({one: _number(value) for one, value in known.items() if one in wanted}, self._redact)
        attributes = {EVENT_NAME: name, **{attribute(one): value for one, value in said.items()}}
        pipeline.log(name, is_problem, attributes, place_here(known.get("run")), time.time_ns())

    def _keep(self, span: FinishedSpan) -> None:
        if pipeline := self._opened():
            pipeline.span(span)

    def _opened(self) -> "Pipeline | None":
        """The pipeline, made at first use; None once it is closed, or when it cannot be made, which is told once."""
        if self._pipeline is None and not self._is_closed:
            with self._opening:
                self._make()
        return self._pipeline

    def _make(self) -> None:
        if self._pipeline is not None or self._is_closed:
            return
        try:
            self._pipeline = self._open_pipeline()
        except Exception as error:  # telemetry may fail quietly, the work goes on
            self._is_closed = True
            telemetry = self._log
            telemetry.problem("telemetry_failed", reason=f"{type(error).__name__}: {error}"[:200])


def _number(value: Any) -> Any:
    """Amounts of money are numbers; redaction would make them texts."""
    return float(value) if isinstance(value, Decimal) else value
