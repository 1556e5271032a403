"""One run over endpoints of every kind: Azure, OpenAI's protocol, a llama.cpp server, LiteLLM; one of them streamed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from emulator_caller import scripted

from assay.execution.ledger import read_outcomes
from assay.local.openai_emulator import EmulatorSettings, running_emulator
from assay.records import Outcome, Response, Row, TrialStatus
from assay.run_records import Plan, RowRange
from assay.runtime import Runtime
from assay.settings import Settings
from assay.storage import layout
from assay.storage.memory import MemoryStorage
from assay.suite.models import Suite
from assay.telemetry import RecordingTelemetry
from builders import RUN, run_header, suite

# LiteLLM 1.83 uses what newer versions of pydantic call outdated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:litellm.*")

ROWS = 6
KEY = "the-only-key"
FIELDS = [{"name": "queue", "values": ["billing", "delivery"]}, {"name": "sure", "type": "boolean"}]
EMULATED: dict[str, Any] = {
    "deployments": {
        "mini": {"model": "gpt-4o-mini-2024-07-18", "latency_ms": {"median": 1}},
        "small": {"model": "gpt-4.1-mini", "latency_ms": {"median": 1}},
        "gpt-4o": {"model": "gpt-4o-2024-08-06", "latency_ms": {"median": 40}},
        "qwen3:8b": {"model": "qwen3-8b.gguf", "dialect": "llama_cpp", "latency_ms": {"median": 1}},
    },
    # The local server loads its model at first; the others have a fault at each first attempt of some contents.
    "faults": {"error_503": 0.3, "first_attempts": 1},
}
MODELS: dict[str, dict[str, Any]] = {
    "azure": {"deployment": "mini"},
    "openai": {"deployment": "gpt-4o@plain", "stream": True},
    "llama": {"deployment": "qwen3:8b@local", "priced_as": "free"},
    "litellm": {"deployment": "small@any", "priced_as": "gpt-4.1-mini", "stream": True},
}
PRICES = "as_of: 2026-11-20\nsource: our own machine\nprices: {free: {input: 0, output: 0}}\n"


def demo() -> Suite:
    criterion = {"name": "queue", "system": "Sort.", "user": "Ticket {{ ticket_id }}", "schema": FIELDS}
    experiments = [
        {"name": name, "baseline": name == "azure", "model": model | {"max_tokens": 60}, "criteria": [criterion]}
        for name, model in MODELS.items()
    ]
    quota = {"qwen3:8b@local": {"requests_per_minute": 6_000, "tokens_per_minute": 1_000_000}}
    limits = {"budget_usd": "0.05"}
    return suite(experiments, scorers=(), middleware=[{"plugin": "cache"}], limits=limits, quota=quota)


def settings(address: str, prices: Path) -> Settings:
    endpoints = {
        "plain": {"kind": "openai", "url": f"{address}/v1", "api_key": KEY},
        "local": {"kind": "llama_cpp", "url": address, "api_key": KEY},
        "any": {"kind": "litellm", "provider": "openai", "url": f"{address}/v1", "api_key": KEY},
    }
    return Settings.load(
        {
            "AZURE_OPENAI_ENDPOINT": address,
            "AZURE_OPENAI_API_KEY": KEY,
            "ASSAY_ENDPOINTS": json.dumps(endpoints),
            "ASSAY_PRICES": str(prices),
            "ASSAY_CHECKPOINT_SECONDS": "0",
        }
    )


async def begin(storage: MemoryStorage, of: Suite) -> Plan:
    rows = [Row(row_id=f"T-{n}", number=n, line=n, fields={"ticket_id": n}) for n in range(1, ROWS + 1)]
    lines = b"".join(row.model_dump_json().encode() + b"\n" for row in rows)
    span = RowRange(first_row=1, rows=ROWS, offset=0, length=len(lines))
    plan = Plan(run=RUN, rows=ROWS, bad_rows=0, experiments=tuple(MODELS), ranges=(span,))
    await storage.write(layout.header(RUN), run_header(of).model_dump_json(by_alias=True).encode())
    await storage.write(layout.rows(RUN), lines)
    await storage.write(layout.plan(RUN), plan.model_dump_json().encode())
    return plan


@asynccontextmanager
async def worker_of(address: str, folder: Path, storage: MemoryStorage) -> AsyncIterator[Runtime]:
    prices = folder / "prices.yaml"
    prices.write_text(PRICES, encoding="utf-8")
    runtime = Runtime(settings(address, prices), RecordingTelemetry())
    runtime.__dict__["storage"] = storage
    try:
        yield runtime
    finally:
        await runtime.close()


async def outcomes(storage: MemoryStorage) -> dict[str, list[Outcome]]:
    return {name: read_outcomes(await storage.read(layout.outcome(RUN, name, 0))) for name in MODELS}


async def test_one_run_asks_endpoints_of_every_kind(tmp_path: Path) -> None:
    """The same prompts, schemas, retries, prices and budget for all of them, and the time to the first token of two."""
    storage = MemoryStorage()
    async with (
        running_emulator(scripted(seed=5, **EMULATED), EmulatorSettings(key=KEY)) as address,
        worker_of(address, tmp_path, storage) as runtime,
    ):
        plan = await begin(storage, demo())
        bodies = [message.model_dump_json() for message in plan.messages(0, plan.chunks)]
        await asyncio.gather(*map(runtime.worker.handle, bodies))
        found = await outcomes(storage)

    assert {one.status for some in found.values() for one in some} == {TrialStatus.SUCCEEDED}
    assert {name: len(some) for name, some in found.items()} == dict.fromkeys(MODELS, ROWS)
    answered: dict[str, list[Response]] = {name: [one.responses[0] for one in some] for name, some in found.items()}
    for name, some in answered.items():
        assert all(json.loads(one.text).keys() == {"queue", "sure"} for one in some), name
        assert all(one.usage.input_tokens > 0 < one.usage.output_tokens for one in some), name
        assert any(len(one.attempts) == 2 for one in some), name
    assert {name: some[0].model for name, some in answered.items()} == {
        "azure": "gpt-4o-mini-2024-07-18",
        "openai": "gpt-4o-2024-08-06",
        "llama": "qwen3-8b.gguf",
        "litellm": "small",
    }
    assert {attempt.error for one in answered["llama"] for attempt in one.attempts} == {"at_capacity", None}
    assert {attempt.error for one in answered["openai"] for attempt in one.attempts} == {"service_busy", None}
    assert {one.cost_usd for one in answered["llama"]} == {Decimal(0)}
    assert all(one.cost_usd for one in (*answered["openai"], *answered["litellm"]))
    for name, some in answered.items():
        assert all((one.first_token_seconds is not None) == ("stream" in MODELS[name]) for one in some), name
    assert all(one.tokens_per_second and one.tokens_per_second > 0 for one in answered["openai"])
    assert await storage.find("quota/local/qwen3=3A8b/config.json") is not None
    lines = await storage.read(layout.outcome(RUN, "azure", 0))
    assert b"first_token_seconds" not in lines
