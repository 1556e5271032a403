"""What arrives at a collector and at Azure Monitor, and what happens when nobody takes it."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest

from assay.errors import UserError
from assay.settings import Settings
from assay.telemetry import LOGGER, LogTelemetry, bound, log_as_json
from assay.telemetry_export import exporters
from assay.telemetry_export.exported import ExportedTelemetry
from assay.telemetry_export.opening import close_opened, open_telemetry
from assay.telemetry_export.pipeline import MOST_WAITING
from assay.telemetry_export.tree import run_span_id, trace_id_of
from assay.telemetry_names import (
    CALL_SPAN,
    CHUNK_SPAN,
    COST_USD,
    DEPLOYMENT,
    ERROR_TYPE,
    FINISH_REASONS,
    HEARTBEAT,
    KIND,
    LOST,
    METRICS,
    OUTCOME,
    REQUEST_MODEL,
    ROW,
    RUN_SPAN,
    SUITE,
    TRIAL_SPAN,
    TRIALS,
    WAIT_FOR_QUOTA,
)
from stand_ins.telemetry_receivers import INSIGHTS_KEY, Receiver

RUN = "triage-20261120-7f3ac2"
SECRET = "s3cr3t-of-a-row"
OTLP = "OTEL_EXPORTER_OTLP_ENDPOINT"
INSIGHTS = "APPLICATIONINSIGHTS_CONNECTION_STRING"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    yield running
    running.close()


Open = Callable[..., ExportedTelemetry]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens telemetry by settings. A collector that is down is tried once, so that no test waits."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    logging.getLogger(LOGGER).setLevel(logging.INFO)

    def open_one(**settings: str) -> ExportedTelemetry:
        made = open_telemetry(Settings.load(settings), lambda text: text.replace(SECRET, "***"), "worker-1")
        assert isinstance(made, ExportedTelemetry)
        return made

    yield open_one
    close_opened()


def tell(telemetry: ExportedTelemetry) -> None:
    """A trial of a chunk of a run, with what happens around it."""
    with bound(run=RUN, experiment="plain", chunk=2):
        with telemetry.span(CHUNK_SPAN):
            telemetry.event("chunk_started", rows=1, from_checkpoint=0)
            with telemetry.span(TRIAL_SPAN, {ROW: 7}) as trial:
                with telemetry.span(CALL_SPAN, {REQUEST_MODEL: "mini", "prompt": SECRET}) as call:
                    call.set({FINISH_REASONS: ["stop"], ERROR_TYPE: "timeout"})
                trial.set({OUTCOME: "failed", KIND: "timeout"})
            telemetry.problem("run_stopped", run=RUN, reason=f"said {SECRET}", done=3, prompt=SECRET)
        with telemetry.span(RUN_SPAN):
            pass
    telemetry.count(TRIALS, 1, {SUITE: "triage", OUTCOME: "failed", KIND: "timeout"})
    telemetry.count(COST_USD, 0.25, {SUITE: "triage", DEPLOYMENT: "mini"})
    telemetry.record(WAIT_FOR_QUOTA, 1.5, {DEPLOYMENT: "mini"})
    telemetry.record(HEARTBEAT, 12)
    telemetry.flush()


def test_a_collector_gets_spans_metrics_and_records(receiver: Receiver, opened: Open) -> None:
    """With the names, units and attributes of the tables, and nothing else."""
    tell(opened(**{OTLP: receiver.address, "OTEL_SERVICE_NAME": "assay-test", "ASSAY_TRACE_SAMPLE": "1"}))

    by_name = {one["name"]: one for one in receiver.spans}
    assert by_name.keys() == {"assay.run", "assay.chunk", "assay.trial", "chat mini"}
    run, chunk, trial, call = (by_name[name] for name in ("assay.run", "assay.chunk", "assay.trial", "chat mini"))
    assert {one["trace"] for one in by_name.values()} == {f"{trace_id_of(RUN):032x}"}
    assert (run["id"], run["parent"]) == (f"{run_span_id(RUN):016x}", "")
    assert (chunk["parent"], trial["parent"], call["parent"]) == (run["id"], chunk["id"], trial["id"])
    assert [one["failed"] for one in (run, chunk, trial, call)] == [False, False, True, True]
    assert (chunk["service"], chunk["instance"]) == ("assay-test", "worker-1")
    assert call["attributes"] == {
        "gen_ai.request.model": "mini",
        "gen_ai.response.finish_reasons": ["stop"],
        "error.type": "timeout",
        "assay.run": RUN,
        "assay.experiment": "plain",
        "assay.chunk": 2,
    }
    assert receiver.metrics["assay.trials"]["points"] == [
        (1, {"assay.suite": "triage", "assay.outcome": "failed", "assay.kind": "timeout"})
    ]
    waits = receiver.metrics["assay.quota.wait"]
    assert (waits["kind"], waits["unit"], waits["bounds"]) == ("histogram", "s", WAIT_FOR_QUOTA.bounds)
    assert receiver.metrics["assay.cost"]["unit"] == "USD"
    assert receiver.metrics["assay.worker.trials"]["kind"] == "gauge"
    assert SECRET.encode() not in receiver.all_bytes


def test_records_say_where_they_belong(receiver: Receiver, opened: Open) -> None:
    """Run, experiment and chunk, and the trace and span that was open; redacted, and only with fields of the table."""
    tell(opened(**{OTLP: receiver.address}))

    started, stopped = receiver.logs
    chunk = next(one for one in receiver.spans if one["name"] == "assay.chunk")
    assert (started["body"], started["severity"], stopped["severity"]) == ("chunk_started", "INFO", "WARNING")
    assert (started["trace"], started["span"]) == (chunk["trace"], chunk["id"])
    assert stopped["attributes"] == {
        "assay.event": "run_stopped",
        "assay.run": RUN,
        "assay.experiment": "plain",
        "assay.chunk": 2,
        "assay.reason": "said ***",
        "assay.done": 3,
    }


def test_azure_monitor_gets_the_same_in_its_tables(receiver: Receiver, opened: Open) -> None:
    """Runs and chunks are requests, trials and calls dependencies, events traces, metrics metrics."""
    tell(opened(**{INSIGHTS: receiver.insights, "ASSAY_TRACE_SAMPLE": "1"}))

    found: dict[str, list[dict[str, object]]] = {}
    for one in receiver.envelopes:
        found.setdefault(one["data"]["baseType"], []).append(one)
    assert {one["iKey"] for kinds in found.values() for one in kinds} == {INSIGHTS_KEY}
    requests = {one["data"]["baseData"]["name"]: one for one in found["RequestData"]}  # type: ignore[index]
    calls = {one["data"]["baseData"]["name"]: one for one in found["RemoteDependencyData"]}  # type: ignore[index]
    assert (requests.keys(), calls.keys()) == ({"assay.run", "assay.chunk"}, {"assay.trial", "chat mini"})
    tags = requests["assay.chunk"]["tags"]
    assert tags["ai.operation.id"] == f"{trace_id_of(RUN):032x}"  # type: ignore[index]
    assert tags["ai.operation.parentId"] == f"{run_span_id(RUN):016x}"  # type: ignore[index]
    assert (tags["ai.cloud.role"], tags["ai.cloud.roleInstance"]) == ("assay", "worker-1")  # type: ignore[index]
    events = [one["data"]["baseData"] for one in found["MessageData"]]  # type: ignore[index]
    assert [(one["message"], one["properties"]["assay.run"]) for one in events] == [
        ("chunk_started", RUN),
        ("run_stopped", RUN),
    ]
    metrics = {point["name"] for one in found["MetricData"] for point in one["data"]["baseData"]["metrics"]}  # type: ignore[index]
    assert {TRIALS.name, COST_USD.name, WAIT_FOR_QUOTA.name, HEARTBEAT.name} <= metrics
    assert metrics <= {one.name for one in METRICS}
    assert SECRET.encode() not in receiver.all_bytes


def test_in_azure_the_host_sends_lines_so_events_are_none(opened: Open) -> None:
    """Problems are lines as well: they are seen even if nothing can be sent."""
    receiver, stream = Receiver(), io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger(LOGGER).addHandler(handler)
    telemetry = opened(**{INSIGHTS: receiver.insights, "WEBSITE_SITE_NAME": "assay-prod"})
    telemetry.event("chunk_started", rows=1, from_checkpoint=0)
    telemetry.problem("chunk_poisoned", rows=1)
    logging.getLogger(LOGGER).removeHandler(handler)
    telemetry.flush()
    receiver.close()

    assert stream.getvalue() == 'chunk_poisoned {"rows": 1}\n'
    assert len(receiver.envelopes) == 2


def test_a_receiver_that_refuses_costs_records_and_no_work(receiver: Receiver, opened: Open) -> None:
    """What is lost is counted, and told once somebody listens again."""
    telemetry = opened(**{OTLP: receiver.address, "ASSAY_TRACE_SAMPLE": "1"})
    receiver.refuse = True
    tell(telemetry)
    receiver.refuse = False
    telemetry.flush()

    points = receiver.metrics[LOST.name]["points"]
    assert dict((tuple(attributes.values()), count) for count, attributes in points) == {("spans",): 4, ("logs",): 2}


def test_a_receiver_that_hangs_holds_up_nobody(receiver: Receiver, opened: Open) -> None:
    """So many records wait; those that come then are dropped at once, and counted."""
    receiver.hold = True
    telemetry = opened(**{OTLP: receiver.address, "ASSAY_TRACE_SAMPLE": "1"})
    for row in range(3 * MOST_WAITING):
        with telemetry.span(TRIAL_SPAN, {ROW: row}) as trial:
            trial.set({OUTCOME: "succeeded"})

    assert telemetry.lost["spans"] >= MOST_WAITING // 2
    assert receiver.calls <= 8
    receiver.close()


def test_nothing_of_opentelemetry_is_loaded_before_there_is_something_to_send() -> None:
    """Commands that ask for a run's state do not wait for it, nor does a process without a place to send to."""
    code = (
        "import sys, assay.runtime; from assay.settings import Settings;"
        f"assay.runtime.Runtime(Settings.load({{'{OTLP}': 'http://127.0.0.1:1'}}));"
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.trace'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_a_place_to_send_to_there_is_only_the_log() -> None:
    """Spans and metrics then cost next to nothing."""
    assert type(open_telemetry(Settings.load({}), str, "worker-1")) is LogTelemetry


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any work is begun, with what to do."""
    monkeypatch.setattr(exporters, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"opentelemetry-exporter-otlp-proto-http is not installed\. Install it"):
        open_telemetry(Settings.load({OTLP: "http://127.0.0.1:4318"}), str, "worker-1")


def test_what_cannot_be_opened_is_told_once_and_harms_nothing() -> None:
    """Telemetry may fail quietly, the work goes on."""

    def broken() -> None:
        raise RuntimeError("no such thing")

    stream = io.StringIO()
    root, before = logging.getLogger(), logging.getLogger().handlers[:]
    log_as_json(stream)
    telemetry = ExportedTelemetry(broken, LogTelemetry(), str, 1.0)  # type: ignore[arg-type]
    telemetry.count(TRIALS, 1)
    telemetry.problem("chunk_poisoned", rows=1)
    root.handlers[:] = before

    assert stream.getvalue().count("telemetry_failed") == 1
    assert stream.getvalue().count("chunk_poisoned") == 1


@pytest.mark.parametrize(
    ("text", "client_id"), [("Authorization=AAD", None), ("Authorization=AAD;ClientId=1b2c-3d", "1b2c-3d")]
)
def test_the_identity_is_the_one_of_the_functions_host(
    text: str, client_id: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same setting names it to both."""
    made: list[str | None] = []
    monkeypatch.setattr("azure.identity.ManagedIdentityCredential", lambda client_id: made.append(client_id))
    exporters._credential(text)
    assert made == [client_id]


def test_each_place_gets_sums_as_it_wants_them(receiver: Receiver, opened: Open) -> None:
    """Azure Monitor adds up what came since the last sending, a collector takes the sum since the beginning."""
    telemetry = opened(**{OTLP: receiver.address, INSIGHTS: receiver.insights})
    for trials in (2, 3):
        telemetry.count(TRIALS, trials, {SUITE: "triage"})
        telemetry.record(WAIT_FOR_QUOTA, trials, {DEPLOYMENT: "mini"})
        telemetry.flush()

    sent: dict[str, list[float]] = {}
    for one in receiver.envelopes:
        for point in one["data"]["baseData"]["metrics"]:
            sent.setdefault(point["name"], []).append(point["value"])
    assert sent == {TRIALS.name: [2, 3], WAIT_FOR_QUOTA.name: [2, 3]}
    assert receiver.metrics[TRIALS.name]["points"] == [(5, {SUITE: "triage"})]
    assert receiver.metrics[WAIT_FOR_QUOTA.name]["points"] == [(5, {DEPLOYMENT: "mini"})]


def test_numbers_stay_numbers(receiver: Receiver, opened: Open) -> None:
    """A cost that is text cannot be summed; nested fields are JSON."""
    telemetry = opened(**{OTLP: receiver.address})
    telemetry.event("run_watched", run=RUN, cost_usd=Decimal("1.25"), budget_usd=None)
    telemetry.event("worker_alive", breakers={"mini": "open"})
    telemetry.flush()

    watched, alive = (one["attributes"] for one in receiver.logs)
    assert (watched["assay.cost_usd"], "assay.budget_usd" in watched) == (1.25, False)
    assert alive["assay.breakers"] == '{"mini": "open"}'
