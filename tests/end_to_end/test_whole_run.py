"""From a dropped file to a verified bundle, through real triggers, queues, workers and the durable orchestrator."""

from __future__ import annotations

import asyncio
import base64
import csv
import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from azure.storage.queue.aio import QueueClient

from assay.orchestration.drops import drop_file, fetch_bundle
from assay.planning.frozen import read_plan
from assay.provenance.verification import verify_bundle
from assay.run_records import Plan, Refusal
from assay.runtime import Runtime
from assay.storage import layout

from .conftest import ROWS
from .site import Site, finished, published
from .small_suite import rows

pytestmark = pytest.mark.timeout(120)


def test_a_dropped_file_ends_as_a_bundle_that_assay_and_openssl_verify(site: Site, tmp_path: Path) -> None:
    """The product's promise, with nothing but the drop done by hand."""
    run = _run(site, _dataset(tmp_path, "first.csv"))
    bundle = tmp_path / "bundle"
    site.ask(lambda runtime: fetch_bundle(runtime.storage, run, bundle))

    key = (bundle / "signer.pub").read_bytes()
    assert verify_bundle(bundle, key).ok
    openssl = shutil.which("openssl")
    assert openssl, "openssl is needed to show that a stock tool agrees"
    command = [openssl, "dgst", "-sha256", "-verify", str(bundle / "signer.pub")]
    command += ["-signature", str(bundle / "manifest.json.sig"), str(bundle / "manifest.json")]
    assert "Verified OK" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
    with (bundle / "results.csv").open(encoding="utf-8", newline="") as lines:
        found = list(csv.DictReader(lines))
    assert Counter(row["experiment"] for row in found) == {"plain": ROWS, "careful": ROWS, "kind": ROWS}
    assert {"summary.json", "report.html", "report.md", "results.jsonl", "suite.yaml"} <= set(_names(bundle))


def test_the_same_file_dropped_twice_is_one_run(site: Site, tmp_path: Path) -> None:
    """Also when the second drop, with another ETag, comes while the first is being worked on."""
    dataset = _dataset(tmp_path, "twice.csv")
    before = _completions(site)
    first = _drop(site, dataset)
    second = _drop(site, dataset)
    site.ask(lambda runtime: finished(runtime, first))
    third = _drop(site, dataset)

    assert first == second == third
    assert _completions(site) - before == ROWS * 3


def test_every_message_delivered_twice_gives_the_same_bundle_and_no_second_call(site: Site, tmp_path: Path) -> None:
    """At-least-once delivery, at its worst: each chunk's message is on the queue twice."""
    reference = _run(site, _dataset(tmp_path, "once.csv"))
    before = _completions(site)

    async def drop_and_double(runtime: Runtime) -> str:
        drop = await drop_file(runtime.storage, "colours", _dataset(tmp_path, "doubled.csv"))
        plan = await _planned(runtime, drop.run)
        for message in plan.messages(0, plan.chunks):
            await runtime.storage.send(layout.TRIALS_QUEUE, message.model_dump_json())
        await finished(runtime, drop.run)
        return drop.run

    doubled = site.ask(drop_and_double)
    results = [
        site.ask(lambda runtime, run=run: published(runtime, run, "results.csv")) for run in (reference, doubled)
    ]
    assert results[0] == results[1]
    assert _completions(site) - before == ROWS * 3


def test_garbage_messages_are_quarantined_and_the_run_ends_normally(site: Site, tmp_path: Path) -> None:
    """Each is kept with its reason; no chunk is touched."""
    plain = "garbage that is not even Base64 ÄÖÜ"
    garbage = ["not json", "{}", '{"v": 2}', "\u0000\u0001", json.dumps({"v": 1, "run": "no-such-run"})]
    foreign = '{"v":1,"run":"no-such-run","experiment":"plain","chunk":0,"first_row":1,"rows":1,"offset":0,"length":9}'

    async def drop_with_garbage(runtime: Runtime) -> list[Refusal]:
        drop = await drop_file(runtime.storage, "colours", _dataset(tmp_path, "garbage.csv"))
        for text in (*garbage, foreign):
            await runtime.storage.send(layout.TRIALS_QUEUE, text)
        await _send_plain(site, layout.TRIALS_QUEUE, plain)
        await finished(runtime, drop.run)
        return await _quarantined(runtime, len(garbage) + 2)

    reasons = {refusal.content: refusal.reason for refusal in site.ask(drop_with_garbage)}
    assert "not a chunk message" in reasons["not json"]
    assert "not a chunk message" in reasons[plain]
    assert reasons[foreign] == "there is no run 'no-such-run' with a plan"


def test_an_event_grid_message_starts_the_run_too(site: Site, tmp_path: Path) -> None:
    """The way in that the deployed app uses, here with the same JSON on the queue, as plain text and as Base64."""
    dataset = _dataset(tmp_path, "event.csv")

    async def announce(runtime: Runtime) -> str:
        drop = await drop_file(runtime.storage, "colours", dataset)
        subject = f"/blobServices/default/containers/inbox/blobs/colours/{dataset.name}"
        event = json.dumps({"eventType": "Microsoft.Storage.BlobCreated", "subject": subject, "data": {}})
        await runtime.storage.send(layout.INGEST_QUEUE, event)
        await runtime.storage.send(layout.INGEST_QUEUE, base64.b64encode(event.encode()).decode())
        await _send_plain(site, layout.INGEST_QUEUE, event)
        await runtime.storage.send(layout.INGEST_QUEUE, "no event at all")
        await finished(runtime, drop.run)
        return drop.run

    assert site.ask(announce).startswith("colours-")


def test_a_file_name_may_be_in_any_script(site: Site, tmp_path: Path) -> None:
    """Umlauts, spaces, percent signs and CJK are names like others."""
    assert _run(site, _dataset(tmp_path, "Übersicht 100% 数据 #1.csv"))


async def _send_plain(site: Site, queue: str, text: str) -> None:
    """As a sender does that knows nothing of Base64."""
    async with QueueClient.from_connection_string(site.storage, queue) as client:
        await client.send_message(text)


async def _planned(runtime: Runtime, run: str) -> Plan:
    """The run's plan, as soon as it is there."""
    while True:
        if await runtime.storage.find(layout.plan(run)):
            return await read_plan(runtime.storage, run)
        await asyncio.sleep(0.02)


def _dataset(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_text(rows(ROWS), encoding="utf-8")
    return path


def _drop(site: Site, dataset: Path) -> str:
    return site.ask(lambda runtime: drop_file(runtime.storage, "colours", dataset)).run


def _run(site: Site, dataset: Path) -> str:
    run = _drop(site, dataset)
    site.ask(lambda runtime: finished(runtime, run))
    return run


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def _completions(site: Site) -> int:
    return sum(event["event"] == "answered" and event["status"] == 200 for event in site.model_requests())


async def _quarantined(runtime: Runtime, count: int) -> list[Refusal]:
    """The quarantined messages, once there are `count` of them."""
    async with asyncio.timeout(60):
        while True:
            paths = [entry.path async for entry in runtime.storage.list(f"{layout.QUARANTINE}/messages/")]
            found = [Refusal.model_validate_json(await runtime.storage.read(path)) for path in paths]
            if len([one for one in found if "event" not in one.reason.lower()]) >= count:
                return found
            await asyncio.sleep(0.2)
