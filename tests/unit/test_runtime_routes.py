"""Routes as the runtime makes them: endpoints, quotas and limiters of the deployments that a suite names."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from assay.errors import UserError
from assay.execution.asking import Asker
from assay.quota.limiter import BlobLeaseLimiter
from assay.quota.none import NoLimiter
from assay.runtime import Runtime
from assay.settings import Settings
from assay.storage.memory import MemoryStorage
from assay.telemetry import RecordingTelemetry
from builders import RUN, experiment, suite

ENDPOINTS = {"west": "https://west.example", "east": {"url": "https://east.example", "api_key": "another"}}
QUOTA = {"requests_per_minute": 600, "tokens_per_minute": 100_000}


@pytest.fixture
async def runtime() -> AsyncIterator[Runtime]:
    environment = {
        "ASSAY_STORAGE": "UseDevelopmentStorage=true",
        "AZURE_OPENAI_ENDPOINT": "https://home.example",
        "AZURE_OPENAI_API_KEY": "a-key",
        "ASSAY_ENDPOINTS": json.dumps(ENDPOINTS),
        "ASSAY_QUOTA": json.dumps({"chat@east": QUOTA | {"accounting": "settled"}}),
    }
    made = Runtime(Settings.load(environment), RecordingTelemetry())
    made.__dict__["storage"] = MemoryStorage()
    yield made
    made.__dict__.pop("storage")
    await made.close()


async def asker(runtime: Runtime, model: dict[str, Any], **changes: Any) -> Asker:
    of = suite(experiments=[experiment("plain", baseline=True) | {"model": model}], **changes)
    ask = await runtime._asker(RUN, of, of.experiment("plain"))
    assert isinstance(ask, Asker)
    return ask


async def test_the_ladder_holds_the_group_and_the_fallbacks_with_their_endpoints(runtime: Runtime) -> None:
    """`name@endpoint` asks that deployment at that endpoint; one client serves all deployments of an endpoint."""
    model = {"deployment": "chat", "spread": ["chat@west"], "fallbacks": ["large@west", "chat@east"]}
    ladder = (await asker(runtime, model)).ladder
    assert [[(one.reference, one.deployment) for one in rung] for rung in ladder] == [
        [("chat", "chat"), ("chat@west", "chat")],
        [("large@west", "large")],
        [("chat@east", "chat")],
    ]
    assert ladder[0][1].model is ladder[1][0].model
    assert len({id(one.model) for rung in ladder for one in rung}) == 3


async def test_an_unknown_endpoint_is_named_with_those_that_are_known(runtime: Runtime) -> None:
    """A slip in a suite is found before anything is asked."""
    with pytest.raises(UserError, match=r"no model endpoint 'north'\. ASSAY_ENDPOINTS has: west, east"):
        await asker(runtime, {"deployment": "chat@north"})


async def test_a_quota_comes_from_the_suite_else_from_the_settings(runtime: Runtime) -> None:
    """Without either there is no limiter; a settled quota is that of provisioned units."""
    model = {"deployment": "chat", "spread": ["chat@west", "chat@east"]}
    first = (await asker(runtime, model, quota={"chat": QUOTA})).ladder[0]
    assert [type(one.limiter) for one in first] == [BlobLeaseLimiter, NoLimiter, BlobLeaseLimiter]
    assert [one.is_provisioned for one in first] == [False, False, True]


async def test_a_suite_may_do_without_a_limiter(runtime: Runtime) -> None:
    """Its own word counts more than the settings'."""
    ladder = (await asker(runtime, {"deployment": "chat@east"}, limits={"limiter": "none"})).ladder
    assert isinstance(ladder[0][0].limiter, NoLimiter)


async def test_experiments_and_runs_share_a_deployments_route(runtime: Runtime) -> None:
    """Its limiter, its breaker and what was learned of its tokens are the deployment's."""
    first = (await asker(runtime, {"deployment": "chat"})).ladder[0][0]
    again = (await asker(runtime, {"deployment": "large", "fallbacks": ["chat"]})).ladder[1][0]
    assert first is again


async def test_deployments_of_the_same_name_do_not_share_a_quota(runtime: Runtime) -> None:
    """Their leases lie apart in storage, by endpoint."""
    model = {"deployment": "chat", "spread": ["chat@west"]}
    first = (await asker(runtime, model, quota={"chat": QUOTA, "chat@west": QUOTA})).ladder[0]
    assert [one.limiter._deployment for one in first] == ["chat", "west/chat"]  # type: ignore[attr-defined]
