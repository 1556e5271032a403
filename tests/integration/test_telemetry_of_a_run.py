"""A whole run over two processes, and what a collector hears of it: one tree, every metric, no word of any row."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from assay.local.azurite import Azurite
from assay.local.emulator_config import EmulatorConfig, EmulatorFile, EmulatorScript
from assay.local.openai_emulator import EmulatorSettings, running_emulator
from assay.planning.frozen import read_plan
from assay.run_records import Plan
from assay.runtime import Runtime
from assay.settings import Settings
from assay.telemetry import LOGGER
from assay.telemetry_export.tree import run_span_id, trace_id_of
from stand_ins.telemetry_receivers import Receiver

pytestmark = pytest.mark.azurite

WORKER = Path(__file__).parent / "traced_worker.py"
PROMPT, ROW_TEXT, ANSWER, KEY = "ask-k7-marker", "row-k7-marker", "answer-k7-marker", "key-k7-marker"
SUITE = f"""\
version: 1
name: traced
dataset: {{id: id}}
limits: {{rows_per_message: 4, attempts: 2, budget_usd: 5, budget: soft}}
defaults: {{model: {{deployment: mini, max_tokens: 40, temperature: 0}}}}
experiments:
  - {{name: plain, baseline: true, user: "{PROMPT} Ticket {{{{ id }}}}: {{{{ text }}}}"}}
  - {{name: short, user: "{PROMPT} Shortly, Ticket {{{{ id }}}}: {{{{ text }}}}"}}
"""
ROWS = "id,text\n" + "".join(f"T-{number},{ROW_TEXT} {number}\n" for number in range(8))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    yield running
    running.close()


@pytest.fixture
async def emulator(tmp_path: Path) -> AsyncIterator[str]:
    """A model that answers every ticket with a marker."""
    truths = "".join(f"T-{number},{ANSWER}\n" for number in range(8))
    (tmp_path / "truths.csv").write_text(f"id,text\n{truths}", encoding="utf-8")
    task = {
        "name": "sort",
        "find": r"Ticket (?P<key>T-\d+)",
        "answers": {"file": "truths.csv", "key": "id", "answer": "text"},
        "kind": "label",
        "skill": [{"name": "all", "easy": 1.0}],
    }
    deployments = {"mini": {"model": "gpt-4o-mini-2024-07-18", "latency_ms": {"median": 1, "sigma": 0}}}
    content = EmulatorFile.model_validate({"seed": 1, "deployments": deployments, "tasks": [task]})
    config = EmulatorConfig(content.deployments, (EmulatorScript(tmp_path / "emulator.yaml", content),))
    async with running_emulator(config, EmulatorSettings(latency_ms=1, quota=False)) as address:
        yield address


@pytest.fixture
def environment(azurite: Azurite, receiver: Receiver, emulator: str, tmp_path: Path) -> dict[str, str]:
    return {
        "ASSAY_STORAGE": azurite.connection_string,
        "AZURE_OPENAI_ENDPOINT": emulator,
        "AZURE_OPENAI_API_KEY": KEY,
        "ASSAY_SIGNING_KEY_FILE": str(tmp_path / "signing.pem"),
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.address,
        "ASSAY_TRACE_SAMPLE": "1",
    }


async def work_elsewhere(planned: Plan, environment: dict[str, str]) -> None:
    """Another process handles every chunk, the first one twice."""
    messages = [one.model_dump_json() for one in planned.messages(0, planned.chunks)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(WORKER)),
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate("\n".join([*messages, messages[0]]).encode())
    assert process.returncode == 0, errors.decode()


async def conduct(host: Runtime, environment: dict[str, str]) -> str:
    """What the function app does for one dropped file."""
    await host.storage.write("suites/traced/suite.yaml", SUITE.encode(), overwrite=True)
    await host.storage.write("inbox/traced/tickets.csv", ROWS.encode(), overwrite=True)
    run = await host.ingest.admit("inbox/traced/tickets.csv")
    assert run is not None
    order: dict[str, Any] = {"run": run}
    await host.step("plan", host.asking.plan, order)
    await work_elsewhere(await read_plan(host.storage, run), environment)
    await host.step("watch", host.asking.watch, order)
    await host.step("evaluate", host.finishing.evaluate, order)
    await host.step("report", host.finishing.report, order)
    await host.step("seal", host.publishing.seal, order)
    await host.step("publish", host.publishing.publish, order)
    await host.close()
    return run


async def test_a_run_of_two_processes_is_one_tree_without_a_word_of_its_rows(
    environment: dict[str, str], receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Every span leads to the run's own; names, counts and units are those of the tables; no content leaves."""
    caplog.set_level("INFO", logger=LOGGER)  # as `runtime()` does
    run = await conduct(Runtime(Settings.load(environment)), environment)

    spans = receiver.spans
    assert Counter(one["name"] for one in spans) == {
        "assay.run": 1,
        **{f"assay.step {name}": 1 for name in ("plan", "watch", "evaluate", "report", "seal", "publish")},
        "assay.chunk": 4,
        "assay.trial": 16,
        "chat mini": 16,
    }
    assert {one["trace"] for one in spans} == {f"{trace_id_of(run):032x}"}
    assert len({one["instance"] for one in spans}) == 2
    parents = {one["id"]: one["parent"] for one in spans}
    assert [name for name, parent in parents.items() if not parent] == [f"{run_span_id(run):016x}"]
    assert {parent for parent in parents.values() if parent} <= parents.keys()
    names = {one["id"]: one["name"] for one in spans}
    assert {names[one["parent"]] for one in spans if one["name"] == "chat mini"} == {"assay.trial"}
    assert {names[one["parent"]] for one in spans if one["name"] == "assay.trial"} == {"assay.chunk"}

    expect_calls_by_the_conventions(receiver, environment["AZURE_OPENAI_ENDPOINT"])
    expect_metrics(receiver)
    expect_correlated_records(receiver, run)
    for marker in (PROMPT, ROW_TEXT, ANSWER, KEY, "T-3"):
        assert marker.encode() not in receiver.all_bytes


def expect_calls_by_the_conventions(receiver: Receiver, endpoint: str) -> None:
    call = next(one["attributes"] for one in receiver.spans if one["name"] == "chat mini")
    host, port = endpoint.removeprefix("http://").split(":")
    assert call["gen_ai.operation.name"] == "chat"
    assert call["gen_ai.provider.name"] == "azure.ai.openai"
    assert (call["gen_ai.request.model"], call["gen_ai.response.model"]) == ("mini", "gpt-4o-mini-2024-07-18")
    assert (call["gen_ai.request.max_tokens"], call["gen_ai.response.finish_reasons"]) == (40, ["stop"])
    assert call["gen_ai.usage.input_tokens"] > 0
    assert (call["server.address"], call["server.port"]) == (host, int(port))
    assert call["assay.request_id"]
    assert call["assay.quota_wait_seconds"] >= 0


def expect_metrics(receiver: Receiver) -> None:
    metrics = receiver.metrics
    assert metrics["assay.trials"]["points"] == [
        (16, {"assay.suite": "traced", "assay.outcome": "succeeded", "assay.kind": "none"})
    ]
    assert metrics["assay.model.requests"]["points"] == [(16, {"assay.deployment": "mini", "assay.status": 200})]
    assert metrics["gen_ai.client.token.usage"]["unit"] == "{token}"
    assert {one["gen_ai.token.type"] for _, one in metrics["gen_ai.client.token.usage"]["points"]} == {
        "input",
        "output",
    }
    assert metrics["gen_ai.client.operation.duration"]["unit"] == "s"
    assert metrics["assay.chunk.duration"]["points"][0][1] == {"assay.suite": "traced"}
    ((cost, attributes),) = metrics["assay.cost"]["points"]
    assert (cost > 0, attributes) == (True, {"assay.suite": "traced", "assay.deployment": "mini"})
    ((part, _),) = metrics["assay.budget.use"]["points"]
    assert part == pytest.approx(cost / 5)


def expect_correlated_records(receiver: Receiver, run: str) -> None:
    chunks = {one["id"] for one in receiver.spans if one["name"] == "assay.chunk"}
    logs = receiver.logs
    finished = [one for one in logs if one["body"] == "chunk_finished"]
    assert {one["span"] for one in finished} == chunks
    assert {one["trace"] for one in logs if "assay.run" in one["attributes"]} == {f"{trace_id_of(run):032x}"}
    watched = next(one["attributes"] for one in logs if one["body"] == "run_watched")
    assert (watched["assay.trials"], watched["assay.trials_total"], watched["assay.budget_usd"]) == (16, 16, 5.0)
    assert Counter(one["body"] for one in logs)["chunk_done_already"] == 1
