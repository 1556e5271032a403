"""A process's runtime: what it makes for a run, and that all of it ends with the process."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.runtime import Runtime
from assay.settings import Settings
from assay.storage import layout
from assay.storage.memory import MemoryStorage
from assay.telemetry import RecordingTelemetry
from builders import RUN, plan, run_header, suite
from installing import install

ENVIRONMENT = {"AZURE_OPENAI_ENDPOINT": "https://home.example", "AZURE_OPENAI_API_KEY": "a-key"}


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
    of, storage = suite([one], scorers=[], templates={"base": "Hello {{ name }}"}), MemoryStorage()
    await storage.write(layout.header(RUN), run_header(of).model_dump_json(by_alias=True).encode())
    await storage.write(layout.plan(RUN), plan(of).model_dump_json().encode())
    runtime = Runtime(Settings.load(ENVIRONMENT), RecordingTelemetry())
    vars(runtime)["storage"] = storage
    job = await runtime.worker.jobs.of(next(plan(of).messages(0, 1)))
    await runtime.close()

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
    storage, of = MemoryStorage(), suite()
    await storage.write(layout.header(RUN), run_header(of).model_dump_json(by_alias=True).encode())
    await storage.write(layout.plan(RUN), plan(of).model_dump_json().encode())
    runtime = Runtime(Settings.load(ENVIRONMENT), RecordingTelemetry())
    vars(runtime)["storage"] = storage
    job = await runtime.worker.jobs.of(next(plan(of).messages(0, 1)))
    await runtime.close()
    scorers = [id(trial.scorers[0]) for trial in job.trials.values()]
    assert len(set(scorers)) == len(scorers) == len(of.experiments)


def test_a_run_says_which_plugins_were_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With their versions, but without importing any."""
    install(monkeypatch, tmp_path, "assay-polite", {"polite": "no_such_module:PLUGIN"}, {})
    assert Runtime(Settings.load({}), RecordingTelemetry())._versions()["plugins"] == "assay-polite 1.0"
