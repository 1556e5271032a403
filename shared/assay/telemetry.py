"""The telemetry port: short fixed events with fields, spans and metrics. `telemetry_export/` sends them elsewhere.

Fields bound with `bound` (run, experiment, chunk) are on every event and span below it, across awaits.
"""

import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Protocol, TextIO

from assay.telemetry_names import MetricName, SpanName

_fields: ContextVar[dict[str, Any]] = ContextVar("assay_fields", default={})  # noqa: B039 - never mutated, only replaced
LOGGER = "assay"
Redact = Callable[[str], str]
"""Takes secrets and personal data out of a text; `middleware/redaction.py` has one."""

Attributes = Mapping[str, Any]
"""Short values by the names of `telemetry_names.py`. Whoever gave them leaves them as they are."""

_PLAIN = (int, float, bool, type(None))
_NONE: Attributes = {}


class Span(Protocol):
    """Something under way that takes time."""

    def set(self, attributes: Attributes) -> None:
        """Adds what is known by now. `error.type` marks the span as failed. Never raises."""
        ...


class Telemetry(Protocol):
    """Where events, spans and metrics go. All values are short and hold no prompts and no secrets."""

    def event(self, name: str, **fields: Any) -> None:
        """Records that something happened. Never raises; values are short and hold no prompts and no secrets."""
        ...

    def problem(self, name: str, **fields: Any) -> None:
        """Like `event`, for what a person should look at."""
        ...

    def span(
        self, name: SpanName, attributes: Attributes = _NONE, began: datetime | None = None
    ) -> AbstractContextManager[Span]:
        """What happens inside the block; spans of the block belong to it. `began` where it began before the block."""
        ...

    def count(self, metric: MetricName, amount: float, attributes: Attributes = _NONE) -> None:
        """Adds to a counter. Never raises."""
        ...

    def record(self, metric: MetricName, value: float, attributes: Attributes = _NONE) -> None:
        """Records a value of a histogram, or the present one of a gauge. Never raises."""
        ...


@contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """Adds fields to every event inside the block."""
    token = _fields.set({**_fields.get(), **fields})
    try:
        yield
    finally:
        _fields.reset(token)


def bound_fields() -> dict[str, Any]:
    """The fields in force here."""
    return dict(_fields.get())


def fields_in_force() -> Mapping[str, Any]:
    """The same without a copy, to be read alone."""
    return _fields.get()


class SilentSpan:
    """A span that nobody sees; one for all."""

    def set(self, attributes: Attributes) -> None:
        """Forgets them."""

    def __enter__(self) -> "SilentSpan":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Lets errors pass."""


_SILENT = SilentSpan()


class EventsOnly:
    """For telemetry that has no use for spans and metrics."""

    def span(self, name: SpanName, attributes: Attributes = _NONE, began: datetime | None = None) -> SilentSpan:
        return _SILENT

    def count(self, metric: MetricName, amount: float, attributes: Attributes = _NONE) -> None:
        """Forgets it."""

    def record(self, metric: MetricName, value: float, attributes: Attributes = _NONE) -> None:
        """Forgets it."""


class LogTelemetry(EventsOnly):
    """Writes events to the `assay` logger, each record's message an `Event`; with `redact`, of redacted fields."""

    def __init__(self, logger: logging.Logger | None = None, redact: Redact | None = None) -> None:
        self._logger = logger or logging.getLogger(LOGGER)
        self._redact = redact

    def event(self, name: str, **fields: Any) -> None:
        self._log(logging.INFO, name, fields)

    def problem(self, name: str, **fields: Any) -> None:
        self._log(logging.WARNING, name, fields)

    def _log(self, level: int, name: str, fields: dict[str, Any]) -> None:
        if self._logger.isEnabledFor(level):
            known = {**_fields.get(), **fields}
            self._logger.log(level, Event(name, redacted(known, self._redact) if self._redact else known))


def redacted(value: Any, redact: Redact) -> Any:
    """The value with every text in it redacted. What JSON does not know becomes text, and is redacted as that."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, Mapping):
        return {name: redacted(one, redact) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(one, redact) for one in value]
    return redact(str(value))


@dataclass(frozen=True, slots=True)
class Event:
    """A log record's message. As text it is the name and the fields: some hosts pass on nothing but the text."""

    name: str
    fields: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.name} {json.dumps(self.fields, default=str, ensure_ascii=False)}" if self.fields else self.name


class _RecordedSpan(SilentSpan):
    def __init__(self, attributes: dict[str, Any]) -> None:
        self.attributes = attributes

    def set(self, attributes: Attributes) -> None:
        self.attributes.update(attributes)


class RecordingTelemetry:
    """Keeps events, spans and metrics in memory, for tests."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.spans: list[tuple[SpanName, dict[str, Any]]] = []
        self.measured: list[tuple[MetricName, float, dict[str, Any]]] = []

    def event(self, name: str, **fields: Any) -> None:
        self.events.append((name, {**bound_fields(), **fields}))

    problem = event

    def span(self, name: SpanName, attributes: Attributes = _NONE, began: datetime | None = None) -> SilentSpan:
        made = _RecordedSpan(dict(attributes))
        self.spans.append((name, made.attributes))
        return made

    def record(self, metric: MetricName, value: float, attributes: Attributes = _NONE) -> None:
        self.measured.append((metric, value, dict(attributes)))

    count = record

    def named(self, name: str) -> list[dict[str, Any]]:
        return [fields for event, fields in self.events if event == name]

    def values(self, metric: MetricName) -> list[tuple[float, dict[str, Any]]]:
        """What was counted or recorded of a metric, in order, with its attributes."""
        return [(value, attributes) for one, value, attributes in self.measured if one is metric]


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, event, fields, and the traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        event = record.msg if isinstance(record.msg, Event) else Event(record.getMessage(), {})
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": event.name,
            "logger": record.name,
            **event.fields,
        }
        if record.exc_text:
            line["traceback"] = record.exc_text
        elif record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


_FORMATTER = logging.Formatter()


def log_as_json(stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Sends all logging of this process to `stream` (default: standard error) as JSON lines; replaces what was set."""
    target = logging.StreamHandler(stream or sys.stderr)
    target.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers = [target]
    root.setLevel(logging.WARNING)
    logging.getLogger(LOGGER).setLevel(level)


def redact_logs(redact: Redact) -> Callable[[], None]:
    """Redacts messages and tracebacks of all log records of this process, whoever makes them and whoever shows them.

    A second call replaces the first one's `redact`. Returns what takes it back. Events are `LogTelemetry`'s to redact.
    """
    plain = getattr(logging.getLogRecordFactory(), "plain", logging.getLogRecordFactory())

    def record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        return _redacted_record(plain(*args, **kwargs), redact)

    record.plain = plain  # type: ignore[attr-defined]
    logging.setLogRecordFactory(record)
    return lambda: logging.setLogRecordFactory(plain)


def _redacted_record(record: logging.LogRecord, redact: Redact) -> logging.LogRecord:
    if not isinstance(record.msg, Event):
        record.msg, record.args = redact(_message_of(record)), None
    if record.exc_info:
        record.exc_text, record.exc_info = redact(_FORMATTER.formatException(record.exc_info)), None
    if record.stack_info:
        record.stack_info = redact(record.stack_info)
    return record


def _message_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # logging reports such a record when it is shown; here it must not stop its maker
        return f"{record.msg} (its arguments do not fit: {type(error).__name__})"
