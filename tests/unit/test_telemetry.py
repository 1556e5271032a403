"""Events with fields: where they go, what is bound to them, how they look in the log."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from assay.telemetry import (
    LOGGER,
    Event,
    JsonFormatter,
    LogTelemetry,
    RecordingTelemetry,
    bound,
    bound_fields,
    log_as_json,
    redact_logs,
    redacted,
)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_bound_fields_are_on_every_event_of_the_block() -> None:
    """Inner blocks add to outer ones, and give their fields back at the end."""
    telemetry = RecordingTelemetry()
    with bound(run="r1"):
        with bound(chunk=2):
            telemetry.event("inner")
        telemetry.event("outer")
    telemetry.event("free")

    assert telemetry.events == [("inner", {"run": "r1", "chunk": 2}), ("outer", {"run": "r1"}), ("free", {})]


def test_the_nearest_value_of_a_field_wins() -> None:
    """An event's own field before a bound one, an inner block before an outer one."""
    telemetry = RecordingTelemetry()
    with bound(run="outer", chunk=1), bound(run="inner"):
        telemetry.event("asked", chunk=2)

    assert telemetry.named("asked") == [{"run": "inner", "chunk": 2}]


def test_an_error_ends_the_binding() -> None:
    """A failed chunk's fields do not stick to the next one."""
    with pytest.raises(KeyError), bound(run="r1"):
        raise KeyError
    assert bound_fields() == {}


async def test_tasks_keep_their_fields_apart() -> None:
    """Fields go with the task across awaits; neighbours see nothing of each other."""
    telemetry = RecordingTelemetry()
    everybody_bound = asyncio.Barrier(2)

    async def work(run: str) -> None:
        with bound(run=run):
            await everybody_bound.wait()
            telemetry.event("asked", by=run)

    await asyncio.gather(work("r1"), work("r2"))

    assert all(fields["run"] == fields["by"] for fields in telemetry.named("asked"))
    assert len(telemetry.named("asked")) == 2


def test_changing_the_returned_fields_changes_nothing() -> None:
    """`bound_fields` hands out a copy."""
    with bound(run="r1"):
        bound_fields()["run"] = "changed"
        assert bound_fields() == {"run": "r1"}


def test_events_are_information_and_problems_are_warnings(caplog: pytest.LogCaptureFixture) -> None:
    """A person filters the log by level; the text has the fields too, for hosts that pass on nothing else."""
    telemetry = LogTelemetry()
    with caplog.at_level(logging.INFO, LOGGER), bound(run="r1"):
        telemetry.event("run_planned", rows=3)
        telemetry.problem("chunk_lost", chunk=7)

    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.INFO, 'run_planned {"run": "r1", "rows": 3}'),
        (logging.WARNING, 'chunk_lost {"run": "r1", "chunk": 7}'),
    ]
    assert [record.msg for record in caplog.records] == [
        Event("run_planned", {"run": "r1", "rows": 3}),
        Event("chunk_lost", {"run": "r1", "chunk": 7}),
    ]


def test_a_silenced_level_makes_no_record() -> None:
    """Events below the level reach no handler."""
    logger = logging.Logger("quiet", level=logging.WARNING)
    stream = io.StringIO()
    logger.addHandler(logging.StreamHandler(stream))

    LogTelemetry(logger).event("asked")
    LogTelemetry(logger).problem("lost")

    assert stream.getvalue() == "lost\n"


def test_a_log_line_is_one_json_object() -> None:
    """Time in UTC, level, event, logger and every field; values JSON does not know are written as text."""
    fields = {"cost_usd": Decimal("0.25"), "at": datetime(2026, 1, 2, tzinfo=UTC), "file": "Größe\nzwei"}
    record = logging.LogRecord(LOGGER, logging.INFO, __file__, 1, Event("answered", fields), None, None)
    record.created = 1_767_312_000.25

    line = JsonFormatter().format(record)

    assert "\n" not in line
    assert "Größe" in line
    assert json.loads(line) == {
        "time": "2026-01-02T00:00:00.250+00:00",
        "level": "info",
        "event": "answered",
        "logger": LOGGER,
        "cost_usd": "0.25",
        "at": "2026-01-02 00:00:00+00:00",
        "file": "Größe\nzwei",
    }


@pytest.mark.usefixtures("restored_logging")
def test_a_traceback_stays_in_its_line() -> None:
    """An error is one line too, or a log reader would tear it apart."""
    stream = io.StringIO()
    log_as_json(stream)
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger(LOGGER).exception("step_failed")

    (line,) = lines(stream)

    assert line["event"] == "step_failed"
    assert "ValueError: broken" in str(line["traceback"])


@pytest.mark.usefixtures("restored_logging")
def test_other_libraries_are_heard_from_warning_on() -> None:
    """Our events are shown at the chosen level, those of the SDKs only when something is wrong."""
    stream = io.StringIO()
    log_as_json(stream, logging.DEBUG)

    logging.getLogger(f"{LOGGER}.storage").debug("ours")
    logging.getLogger("azure.core").info("chatter")
    logging.getLogger("azure.core").warning("trouble")

    assert [line["event"] for line in lines(stream)] == ["ours", "trouble"]


@pytest.mark.usefixtures("restored_logging")
def test_setting_the_log_twice_writes_once() -> None:
    """The second call replaces the first one's stream."""
    first, second = io.StringIO(), io.StringIO()
    log_as_json(first)
    log_as_json(second)

    LogTelemetry().event("asked")

    assert first.getvalue() == ""
    assert len(lines(second)) == 1


def hushed(text: str) -> str:
    """A redactor that knows one secret."""
    return text.replace("hunter2", "***")


def test_every_text_of_an_event_is_redacted_wherever_it_came_from(caplog: pytest.LogCaptureFixture) -> None:
    """Own fields, bound ones, nested ones, and what is only turned into text when it is shown."""
    fields = {"reason": "hunter2", "all": ["x", {"deep": "hunter2"}], "error": ValueError("hunter2"), "rows": 3}
    with caplog.at_level(logging.INFO, LOGGER), bound(file="hunter2.csv"):
        LogTelemetry(redact=hushed).event("refused", **fields)

    (record,) = caplog.records
    assert record.msg == Event(
        "refused", {"file": "***.csv", "reason": "***", "all": ["x", {"deep": "***"}], "error": "***", "rows": 3}
    )


def test_numbers_and_nothing_stay_what_they_are() -> None:
    """A metric that becomes text can no longer be summed."""
    values = {"count": 3, "share": 0.5, "ok": True, "none": None, "cost": Decimal("0.25")}
    assert redacted(values, hushed) == {"count": 3, "share": 0.5, "ok": True, "none": None, "cost": "0.25"}


@pytest.mark.usefixtures("restored_logging")
def test_records_of_every_library_are_redacted_with_their_tracebacks() -> None:
    """SDKs log addresses with signatures, and errors quote what was sent."""
    stream = io.StringIO()
    log_as_json(stream)
    redact_logs(hushed)
    redact_logs(hushed)
    secret = "hunter2"
    try:
        raise ValueError(f"broken by {secret}")
    except ValueError:
        logging.getLogger("azure.core").exception("asked %s for %d", f"https://x/?sig={secret}", 3, stack_info=True)

    assert secret not in stream.getvalue()
    (line,) = lines(stream)
    assert line["event"] == "asked https://x/?sig=*** for 3"
    assert "ValueError: broken by ***" in str(line["traceback"])


@pytest.mark.usefixtures("restored_logging")
def test_other_formatters_show_the_redacted_traceback_too() -> None:
    """The host of the function app formats records in its own way."""
    stream, logger = io.StringIO(), logging.Logger("elsewhere")
    logger.addHandler(logging.StreamHandler(stream))
    redact_logs(hushed)
    secret = "hunter2"
    try:
        raise ValueError(secret)
    except ValueError:
        logger.exception("failed with %s", secret)

    assert "ValueError: ***" in stream.getvalue()
    assert secret not in stream.getvalue()


@pytest.mark.usefixtures("restored_logging")
def test_a_record_whose_arguments_do_not_fit_stops_nobody() -> None:
    """Logging itself would only complain when it is shown."""
    stream = io.StringIO()
    log_as_json(stream)
    redact_logs(hushed)

    logging.getLogger("careless").warning("%d rows of hunter2", "three")

    assert "of *** (its arguments do not fit: TypeError)" in str(lines(stream)[0]["event"])


@pytest.mark.usefixtures("restored_logging")
def test_redaction_of_logs_can_be_taken_back() -> None:
    """For a process that sets it up once more."""
    factory = logging.getLogRecordFactory()
    take_back = redact_logs(hushed)
    take_back()
    assert logging.getLogRecordFactory() is factory
