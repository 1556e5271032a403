"""Structured outputs over the real emulator: answers that fit, a misfit that is repaired, one that is not."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from assay.execution.asking import Asker
from assay.execution.routes import Route
from assay.execution.trial import Trial
from assay.execution.watchdog import Watchdog
from assay.llm.azure_openai import AzureOpenAIChat
from assay.llm.pricing import load_prices
from assay.local.emulator_config import EmulatorConfig, EmulatorFile, EmulatorScript
from assay.local.openai_emulator import EmulatorSettings, running_emulator
from assay.middleware.chain import build_chain
from assay.middleware.context import Context
from assay.middleware.redaction import PatternRedactor
from assay.planning.preflight import scorers_of
from assay.planning.prompts import compile_prompts
from assay.quota.none import NoLimiter
from assay.records import Outcome, Row, TrialStatus
from assay.storage.memory import MemoryStorage
from assay.suite.models import Suite
from assay.telemetry import RecordingTelemetry
from assay.tokens.estimate import estimate_tokens
from builders import LABEL_SCORER, RUN, row, suite

FIELDS = [{"name": "queue", "values": ["billing", "delivery"]}, {"name": "sure", "type": "boolean"}]
REPAIRED = {"name": "repaired", "when": "does not fit its JSON schema", "easy": 1.0}
PLAIN = {"name": "plain", "easy": 1.0, "reply": '{"queue": "ANSWER"}'}
FITTING = '{"queue": "ANSWER", "sure": true}'


def emulator_config(folder: Path, *skill: dict[str, Any]) -> EmulatorConfig:
    """A deployment that knows tickets by the rules of `skill`, and answers whatever else with fitting filler."""
    (folder / "truths.csv").write_text("ticket_id,queue\nT-0001,billing\n", encoding="utf-8")
    task = {
        "name": "triage",
        "find": r"Ticket (?P<key>T-\d+)",
        "answers": {"file": "truths.csv", "key": "ticket_id", "answer": "queue"},
        "kind": "label",
        "reply": FITTING,
        "skill": list(skill),
    }
    deployments = {"mini": {"model": "gpt-4o-mini-2024-07-18", "latency_ms": {"median": 1, "sigma": 0}}}
    content = EmulatorFile.model_validate({"seed": 11, "deployments": deployments, "tasks": [task] if skill else []})
    return EmulatorConfig(content.deployments, (EmulatorScript(folder / "emulator.yaml", content),))


def schema_suite(**criterion: Any) -> Suite:
    made = {"name": "queue", "system": "Sort.", "user": "Ticket {{ ticket_id }}", "schema": FIELDS, **criterion}
    model = {"deployment": "mini", "max_tokens": 60}
    return suite([{"name": "plain", "baseline": True, "model": model, "criteria": [made]}], scorers=[LABEL_SCORER])


@asynccontextmanager
async def asked(config: EmulatorConfig, of: Suite, storage: MemoryStorage | None = None) -> AsyncIterator[Trial]:
    """The trial of the suite's only experiment, behind the chain that every run has."""
    async with running_emulator(config, EmulatorSettings()) as address:
        model, telemetry = AzureOpenAIChat(address, "2024-10-21", api_key="any"), RecordingTelemetry()
        (experiment,) = of.experiments
        route = Route("mini", "mini", model, NoLimiter())
        asker = Asker(((route,),), load_prices(), 3, time.monotonic, asyncio.sleep, lambda: 0.5, telemetry)
        context = Context(
            run=RUN,
            worker="host-7",
            storage=storage or MemoryStorage(),
            telemetry=telemetry,
            redactor=PatternRedactor(),
            clock=time.monotonic,
            now=lambda: datetime.now(UTC),
            sleep=asyncio.sleep,
        )
        chain = build_chain(of, context, asker)
        prompts = compile_prompts(experiment, of.templates)
        try:
            yield Trial(RUN, experiment, prompts, scorers_of(of), of.limits, chain.ask, Watchdog(telemetry))
        finally:
            await model.close()


async def outcome_of(config: EmulatorConfig, of: Suite, of_row: Row | None = None) -> Outcome:
    async with asked(config, of) as trial:
        return await trial.run(of_row or row(ticket_id="T-0001"))


async def test_answers_of_strict_structured_outputs_fit(tmp_path: Path) -> None:
    """The emulator refuses what the service would, and draws its answer from the schema."""
    outcome = await outcome_of(emulator_config(tmp_path), schema_suite())

    (answered,) = outcome.responses
    assert json.loads(answered.text).keys() == {"queue", "sure"}
    assert [one.error for one in answered.attempts] == [None]
    assert answered.discarded.input_tokens == 0
    prompt = compile_prompts(schema_suite().experiments[0])[0].counted({"ticket_id": "T-0001"})
    assert answered.usage.input_tokens == pytest.approx(estimate_tokens(prompt), abs=2)


async def test_a_misfit_is_repaired_once_and_both_answers_are_billed(tmp_path: Path) -> None:
    """The first lacks a field; told so, the model gives it."""
    outcome = await outcome_of(emulator_config(tmp_path, REPAIRED, PLAIN), schema_suite())

    (answered,) = outcome.responses
    assert answered.text == '{"queue": "billing", "sure": true}'
    assert [(one.number, one.error) for one in answered.attempts] == [(1, "invalid_answer"), (2, None)]
    assert 0 < answered.discarded.input_tokens < answered.usage.input_tokens
    assert answered.discarded_usd and answered.cost_usd and answered.cost_usd > answered.discarded_usd
    assert outcome.scores[0].value == 1.0


async def test_a_misfit_that_stays_one_fails_with_the_bill_of_both(tmp_path: Path) -> None:
    """Two requests, no third."""
    outcome = await outcome_of(emulator_config(tmp_path, PLAIN), schema_suite())

    failure = outcome.failure
    assert outcome.status is TrialStatus.FAILED and failure is not None
    assert (failure.kind, failure.criterion) == ("invalid_answer", "queue")
    assert "'sure' is a required property" in failure.message
    assert [one.error for one in failure.attempts] == ["invalid_answer"] * 2
    assert failure.usage.input_tokens > 0 and failure.cost_usd


async def test_a_cut_answer_is_not_repaired(tmp_path: Path) -> None:
    """Half a JSON object at `max_tokens` is an answer that was cut."""
    of = schema_suite()
    model = of.experiments[0].model.model_copy(update={"max_tokens": 3})
    of = of.model_copy(update={"experiments": (of.experiments[0].model_copy(update={"model": model}),)})
    outcome = await outcome_of(emulator_config(tmp_path), of)

    (answered,) = outcome.responses
    assert answered.truncated and len(answered.attempts) == 1


async def test_examples_and_history_reach_the_model_before_the_question(tmp_path: Path) -> None:
    """The emulator takes the row from the last message that names one."""
    of = schema_suite(
        examples=[{"user": "Ticket T-0009", "assistant": '{"queue": "delivery", "sure": false}'}], history="chat"
    )
    chat = '[{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Which ticket?"}]'
    config = emulator_config(tmp_path, {"name": "fits", "when": "Which ticket", "easy": 1.0})
    outcome = await outcome_of(config, of, row(ticket_id="T-0001", chat=chat))
    assert outcome.responses[0].text == '{"queue": "billing", "sure": true}'

    broken = await outcome_of(config, of, row(ticket_id="T-0001", chat="[{}]"))
    assert broken.failure is not None
    assert (broken.failure.kind, broken.failure.attempts) == ("prompt", ())


async def test_an_image_from_storage_is_sent_and_one_that_is_none_fails_its_trial_alone(tmp_path: Path) -> None:
    """The emulator takes the parts of a message as the service does."""
    of = schema_suite(images=[{"url": "blob://photos/{{ photo }}", "containers": ["photos"]}])
    storage = MemoryStorage()
    await storage.write("photos/1.png", b"\x89PNG\r\n\x1a\n")
    await storage.write("photos/2.png", b"ticket_id,queue")
    config = emulator_config(tmp_path, {"name": "fits", "easy": 1.0})
    async with asked(config, of, storage) as trial:
        good, bad = [await trial.run(row(ticket_id="T-0001", photo=name)) for name in ("1.png", "2.png")]
    assert good.responses[0].text == '{"queue": "billing", "sure": true}'
    assert bad.failure is not None
    assert (bad.failure.kind, bad.failure.cost_usd) == ("image_unusable", 0)
