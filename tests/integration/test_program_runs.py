"""Programs on the real worker path, over HTTP to the emulator: modules of DSPy above all."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from assay.execution.ledger import read_outcomes
from assay.local.emulator_config import EmulatorConfig, EmulatorFile, EmulatorScript
from assay.local.openai_emulator import EmulatorSettings, running_emulator
from assay.planning.programs import BadProgram, load_program
from assay.records import Outcome, Row
from assay.run_records import RowRange
from assay.runtime import Runtime
from assay.settings import Settings
from assay.storage import layout
from assay.storage.memory import MemoryStorage
from assay.suite.models import Suite
from assay.telemetry import RecordingTelemetry
from builders import RUN, plan, row, run_header, suite

DSPY_REPLY = "[[ ## queue ## ]]\nANSWER\n\n[[ ## completed ## ]]"
JSON_REPLY = '{"queue": "ANSWER"}'
ROWS = [row(number, body=f"Ticket T-{number:04d}: where is it?") for number in range(1, 5)]
LABELS = ["billing", "delivery", "billing", "delivery"]


def dspy_emulator(folder: Path) -> EmulatorConfig:
    """A model that knows the four tickets, and answers as DSPy's adapters ask it to."""
    truths = "".join(f"T-{number:04d},{label}\n" for number, label in enumerate(LABELS, 1))
    (folder / "truths.csv").write_text(f"ticket_id,queue\n{truths}", encoding="utf-8")
    task = {
        "name": "sort",
        "find": r"Ticket (?P<key>T-\d+)",
        "answers": {"file": "truths.csv", "key": "ticket_id", "answer": "queue"},
        "kind": "label",
        "reply": DSPY_REPLY,
        "skill": [
            {"name": "json", "when": "JSON object", "easy": 1.0, "reply": JSON_REPLY},
            {"name": "all", "easy": 1.0},
        ],
    }
    mini = {"model": "gpt-5.4-mini-2026-03-17", "latency_ms": {"median": 1, "sigma": 0}}
    thinks = {"reasoning": {"median": 64}, "default_effort": "none"}
    deployments = {"mini": mini | thinks}
    content = EmulatorFile.model_validate({"seed": 1, "deployments": deployments, "tasks": [task]})
    return EmulatorConfig(content.deployments, (EmulatorScript(folder / "emulator.yaml", content),))


def dspy_suite(program: str, **changes: Any) -> Suite:
    model = {"deployment": "mini", "max_tokens": 60, "temperature": 0, "json": True}
    return suite([{"name": "agent", "baseline": True, "model": model, "program": program}], scorers=[], **changes)


@asynccontextmanager
async def worker_process(config: EmulatorConfig) -> AsyncIterator[Runtime]:
    """The runtime of a worker, with storage in memory and the emulator as its model."""
    async with running_emulator(config, EmulatorSettings(latency_ms=1, quota=False)) as address:
        environment = {"AZURE_OPENAI_ENDPOINT": address, "AZURE_OPENAI_API_KEY": "any", "ASSAY_CHECKPOINT_SECONDS": "0"}
        runtime = Runtime(Settings.load(environment), RecordingTelemetry())
        vars(runtime)["storage"] = MemoryStorage()
        try:
            yield runtime
        finally:
            await runtime.close()


async def outcomes_of(runtime: Runtime, of: Suite, rows: Sequence[Row]) -> list[Outcome]:
    """Writes the run, works on each of its messages, and reads what is in its outcome blobs."""
    written = b"".join(one.model_dump_json().encode() + b"\n" for one in rows)
    whole = RowRange(first_row=1, rows=len(rows), offset=0, length=len(written))
    planned = plan(of, len(rows)).model_copy(update={"ranges": (whole,)})
    storage = runtime.storage
    await storage.write(layout.header(RUN), run_header(of).model_dump_json(by_alias=True).encode())
    await storage.write(layout.rows(RUN), written)
    await storage.write(layout.plan(RUN), planned.model_dump_json().encode())
    found: list[Outcome] = []
    for message in planned.messages(0, planned.chunks):
        await runtime.worker.handle(message.model_dump_json())
        found += read_outcomes(await storage.read(layout.outcome(RUN, message.experiment, message.chunk)))
    return sorted(found, key=lambda one: (one.experiment, one.row_number))


@pytest.mark.parametrize(
    ("program", "calls", "column"),
    [
        ("Triage", 2, "queue"),
        ("ready", 2, "queue"),
        ("AwaitedTriage", 1, "queue"),
        ("predict", 1, "queue"),
        ("function", 1, "queue"),
        ("Parallel", 3, "queues"),
    ],
)
async def test_modules_of_dspy_are_programs(program: str, calls: int, column: str, tmp_path: Path) -> None:
    """A class, an object, a predictor, or a function that uses some: what they predict becomes the answer."""
    async with worker_process(dspy_emulator(tmp_path)) as runtime:
        outcomes = await outcomes_of(runtime, dspy_suite(f"dspy_programs:{program}"), ROWS)

    for one, label in zip(outcomes, LABELS, strict=True):
        assert one.failure is None, one.failure
        (response,) = one.responses
        answer = json.loads(response.text)[column]
        assert answer == ([label] * 3 if program == "Parallel" else label)
        assert (len(response.attempts), response.cached) == (calls, False)
        assert response.cost_usd and response.usage.input_tokens > 100 * calls


async def test_one_program_runs_over_several_models(tmp_path: Path) -> None:
    """As a matrix makes it: each experiment's calls go to its own deployment."""
    config = dspy_emulator(tmp_path)
    config = EmulatorConfig({**config.deployments, "large": config.deployments["mini"]}, config.scripts)
    (first,) = dspy_suite("dspy_programs:Triage").experiments
    large = {"model": first.model.model_copy(update={"deployment": "large"}), "name": "large", "baseline": False}
    of = dspy_suite("dspy_programs:Triage").model_copy(update={"experiments": (first, first.model_copy(update=large))})
    async with worker_process(config) as runtime:
        outcomes = await outcomes_of(runtime, of, ROWS[:1])

    asked = {one.experiment: {attempt.deployment for attempt in one.responses[0].attempts} for one in outcomes}
    assert asked == {"agent": {"mini"}, "large": {"large"}}


async def test_what_dspy_says_of_a_call_is_asked(tmp_path: Path) -> None:
    """Longest answer, temperature and a strict schema of the signature; all else is the experiment's."""
    async with worker_process(dspy_emulator(tmp_path)) as runtime:
        seen: list[Any] = []
        trials = await runtime._trials_of(run_header(dspy_suite("dspy_programs:function")))
        trial: Any = trials["agent"]

        async def ask(question: Any) -> Any:
            seen.append(question.request)
            return await trial.ask(question)

        await type(trial)(**{**vars(trial), "ask": ask}).run(ROWS[0])

    (request,) = seen
    assert (request.max_tokens, request.temperature, request.deployment) == (17, 0.5, "mini")
    assert request.reasoning_effort == "none"
    assert request.schema is not None and '"enum":["billing","delivery"]' in request.schema.text


async def test_a_blocked_prompt_of_a_module_blocks_its_trial(tmp_path: Path) -> None:
    """DSPy wraps the error in its own; its cause tells what it was."""
    config = dspy_emulator(tmp_path)
    faults = config.scripts[0].content.model_copy(
        update={"faults": EmulatorFile.model_validate({"faults": {"content_filter": ["T-0002"]}}).faults}
    )
    config = EmulatorConfig(config.deployments, (EmulatorScript(config.scripts[0].path, faults),))
    async with worker_process(config) as runtime:
        outcomes = await outcomes_of(runtime, dspy_suite("dspy_programs:Triage"), ROWS[:2])

    assert [one.status.value for one in outcomes] == ["succeeded", "blocked"]
    assert outcomes[1].failure is not None and outcomes[1].failure.kind == "content_filter"


async def test_a_column_that_a_module_takes_and_a_row_lacks_fails_the_row(tmp_path: Path) -> None:
    """By its name."""
    async with worker_process(dspy_emulator(tmp_path)) as runtime:
        (outcome,) = await outcomes_of(runtime, dspy_suite("dspy_programs:Triage"), [row(1, text="Hello")])

    assert outcome.failure is not None
    assert outcome.failure.kind == "program"
    assert "Triage takes 'ticket' from the column 'body'; the row has: queue, text" in outcome.failure.message


@pytest.mark.parametrize(
    ("name", "said"), [("Broken", "FileNotFoundError: triage.json"), ("Hollow", "TypeError: Hollow has no forward")]
)
def test_a_module_that_cannot_be_made_is_found_before_the_run(name: str, said: str) -> None:
    """With the error of its constructor."""
    with pytest.raises(BadProgram, match=f"cannot be made: {said}"):
        load_program(f"dspy_programs:{name}")
