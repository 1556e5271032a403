"""A process's runtime: what it makes for a run, and that all of it ends with the process."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from assay.execution.job import Job
from assay.runtime import Runtime, now
from assay.settings import Settings
from assay.storage import layout
from assay.storage.memory import MemoryStorage
from assay.suite.models import Suite
from assay.telemetry import RecordingTelemetry
from assay.telemetry_names import QUEUE, QUEUE_AGE, STEP, STEP_SPAN
from builders import RUN, plan, run_header, suite
from installing import install

ENVIRONMENT = {"AZURE_OPENAI_ENDPOINT": "https://home.example", "AZURE_OPENAI_API_KEY": "a-key"}


async def job_of(of: Suite) -> Job:
    """What a worker makes of the first chunk of a run of this suite."""
    storage = MemoryStorage()
    await storage.write(layout.header(RUN), run_header(of).model_dump_json(by_alias=True).encode())
    await storage.write(layout.plan(RUN), plan(of).model_dump_json().encode())
    runtime = Runtime(Settings.load(ENVIRONMENT), RecordingTelemetry())
    vars(runtime)["storage"] = storage
    job = await runtime.worker.jobs.of(next(plan(of).messages(0, 1)))
    await runtime.close()
    return job


async def test_a_process_that_has_worked_ends_what_it_began() -> None:
    """Middleware first, which still writes; then money and leases, connections, storage."""
    storage, of = MemoryStorage(), suite()
    planned = plan(of)
    await storage.write(layout.header(planned.run), run_header(of).model_dump_json(by_alias=True).encode())
    await storage.write(layout.plan(planned.run), planned.model_dump_json().encode())
    runtime = Runtime(Settings.load(ENVIRONMENT), RecordingTelemetry())
    vars(runtime)["storage"] = storage
    job = await runtime.worker.jobs.of(next(planned.messages(0, 1)))
    await runtime.close()
    assert set(job.trials) == set(planned.experiments)
    assert runtime._chains._chains == {}


async def test_a_run_as_it_is_frozen_keeps_its_templates_examples_images_and_schemas() -> None:
    """Its header is JSON, and what a worker makes of it is what the suite says."""
    criterion = {
        "name": "queue",
        "user": "{% extends 'base' %}",
        "examples": [{"user": "a", "assistant": "b"}],
        "images": ["https://x.org/1"],
        "schema": ["label"],
    }
    one = {"name": "plain", "baseline": True, "model": {"deployment": "m"}, "criteria": [criterion]}
    job = await job_of(suite([one], scorers=[], templates={"base": "Hello {{ name }}"}))

    (prompt,) = job.trials["plain"].prompts
    *examples, last = prompt.render({"name": "Ann"})
    assert [one.content for one in (*examples, last)] == ["a", "b", "Hello Ann"]
    assert [one.url for one in last.images] == ["https://x.org/1"]
    assert prompt.schema and '"required":["label"]' in prompt.schema.text


async def test_one_that_did_nothing_has_nothing_to_end() -> None:
    """Nothing is made only to be closed."""
    runtime = Runtime(Settings.load({}), RecordingTelemetry())
    await runtime.close()
    assert "storage" not in vars(runtime)


def test_containers_of_one_host_have_names_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the host's name and process 1 in each, the first would hold the quota and never hear of the second."""
    monkeypatch.setattr("os.getpid", lambda: 1)
    names = {Runtime(Settings.load({}), RecordingTelemetry())._worker_name for _ in range(3)}
    assert len(names) == 3


async def test_experiments_share_no_scorer() -> None:
    """What one of them keeps, the others must not see."""
    of = suite()
    job = await job_of(of)
    scorers = [id(trial.scorers[0]) for trial in job.trials.values()]
    assert len(set(scorers)) == len(scorers) == len(of.experiments)


def test_a_run_says_which_plugins_were_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With their versions, but without importing any."""
    install(monkeypatch, tmp_path, "assay-polite", {"polite": "no_such_module:PLUGIN"}, {})
    assert Runtime(Settings.load({}), RecordingTelemetry())._versions()["plugins"] == "assay-polite 1.0"


async def test_a_step_of_a_run_is_a_span_of_it() -> None:
    """Its errors pass."""
    telemetry = RecordingTelemetry()
    runtime = Runtime(Settings.load({}), telemetry)

    async def take(run: str, lost: bool) -> str:
        telemetry.event("chunks_dispatched", chunks=int(lost))
        return run

    assert await runtime.step("dispatch", take, {"run": RUN, "lost": True}) == RUN
    assert telemetry.spans == [(STEP_SPAN, {STEP: "dispatch"})]
    assert telemetry.named("chunks_dispatched") == [{"run": RUN, "chunks": 1}]


def test_the_age_of_a_message_is_never_negative() -> None:
    """The storage's clock may be ahead; a host that does not know the age says nothing."""
    telemetry = RecordingTelemetry()
    runtime = Runtime(Settings.load({}), telemetry)
    runtime.tell_queue_age("trials", now() + timedelta(seconds=2))
    runtime.tell_queue_age("trials", None)
    assert telemetry.values(QUEUE_AGE) == [(0.0, {QUEUE: "trials"})]
