"""Routes as a process makes them: endpoints, quotas and limiters of the deployments that a suite names."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from assay.deployments import Deployments
from assay.errors import StorageError, UserError
from assay.execution.asking import Asker
from assay.execution.routes import Server
from assay.llm.azure_openai import AzureOpenAIChat
from assay.llm.litellm_chat import LiteLLMChat
from assay.llm.llama_cpp import LlamaCppChat
from assay.llm.openai_chat import OpenAIChat
from assay.quota.base import Charge
from assay.quota.limiter import BlobLeaseLimiter
from assay.quota.none import NoLimiter
from assay.settings import Settings
from assay.storage.memory import MemoryStorage
from assay.telemetry import RecordingTelemetry
from builders import RUN, experiment, suite

ENDPOINTS = {
    "west": "https://west.example",
    "east": {"url": "https://east.example", "api_key": "another"},
    "plain": {"kind": "openai", "url": "https://plain.example/api/v1", "api_key": "plain-key"},
    "local": {"kind": "llama_cpp", "url": "http://127.0.0.1:8089"},
    "other": {"kind": "litellm", "provider": "anthropic", "api_key": "other-key"},
}
QUOTA = {"requests_per_minute": 600, "tokens_per_minute": 100_000}
ENVIRONMENT = {
    "AZURE_OPENAI_ENDPOINT": "https://home.example",
    "AZURE_OPENAI_API_KEY": "a-key",
    "ASSAY_ENDPOINTS": json.dumps(ENDPOINTS),
    "ASSAY_QUOTA": json.dumps({"chat@east": QUOTA | {"accounting": "settled"}}),
}


def no_credential() -> Any:
    raise AssertionError("keys are set: no identity is needed")


@pytest.fixture
async def learned() -> list[str]:
    return []


@pytest.fixture
async def deployments(learned: list[str]) -> AsyncIterator[Deployments]:
    settings = Settings.load(ENVIRONMENT)
    made = Deployments(settings, MemoryStorage(), RecordingTelemetry(), "worker-1", no_credential, learned.append)
    yield made
    await made.close()


async def asker(deployments: Deployments, model: dict[str, Any], **changes: Any) -> Asker:
    of = suite(experiments=[experiment("plain", baseline=True) | {"model": model}], **changes)
    return await deployments.asker(RUN, of, of.experiment("plain"))


async def test_the_ladder_holds_the_group_and_the_fallbacks_with_their_endpoints(deployments: Deployments) -> None:
    """`name@endpoint` asks that deployment at that endpoint; one client serves all deployments of an endpoint."""
    model = {"deployment": "chat", "spread": ["chat@west"], "fallbacks": ["large@west", "chat@east"]}
    ladder = (await asker(deployments, model)).ladder
    assert [[(one.reference, one.deployment) for one in rung] for rung in ladder] == [
        [("chat", "chat"), ("chat@west", "chat")],
        [("large@west", "large")],
        [("chat@east", "chat")],
    ]
    assert ladder[0][1].model is ladder[1][0].model
    assert len({id(one.model) for rung in ladder for one in rung}) == 3


async def test_an_unknown_endpoint_is_named_with_those_that_are_known(deployments: Deployments) -> None:
    """A slip in a suite is found before anything is asked."""
    with pytest.raises(
        UserError, match=r"no model endpoint 'north'\. ASSAY_ENDPOINTS has: west, east, plain, local, other"
    ):
        await asker(deployments, {"deployment": "chat@north"})


async def test_every_kind_of_endpoint_has_its_client(deployments: Deployments) -> None:
    """And the key of Azure OpenAI is sent to none that is not Azure's."""
    model = {"deployment": "chat", "fallbacks": ["gpt-5@plain", "qwen3:8b@local", "claude@other"]}
    ladder = (await asker(deployments, model)).ladder
    clients: list[Any] = [rung[0].model for rung in ladder]
    assert [type(one) for one in clients] == [AzureOpenAIChat, OpenAIChat, LlamaCppChat, LiteLLMChat]
    assert [str(one._client.base_url) for one in clients[1:3]] == [
        "https://plain.example/api/v1/",
        "http://127.0.0.1:8089/v1/",
    ]
    assert [one._client.api_key for one in clients[1:3]] == ["plain-key", "no-key"]


async def test_without_litellm_its_kind_says_what_to_install(
    deployments: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an extra, and the message names it."""
    monkeypatch.setitem(sys.modules, "litellm", None)
    with pytest.raises(UserError, match=r"pip install 'assay-batch\[litellm\]'"):
        await asker(deployments, {"deployment": "claude@other"})


async def test_a_quota_comes_from_the_suite_else_from_the_settings(deployments: Deployments) -> None:
    """Without either there is no limiter; a settled quota is that of provisioned units."""
    model = {"deployment": "chat", "spread": ["chat@west", "chat@east"]}
    first = (await asker(deployments, model, quota={"chat": QUOTA})).ladder[0]
    assert [type(one.limiter) for one in first] == [BlobLeaseLimiter, NoLimiter, BlobLeaseLimiter]
    assert [one.is_provisioned for one in first] == [False, False, True]


@pytest.mark.parametrize("kind", ["blob_lease", "window"])
async def test_a_suite_may_say_that_its_service_counts_requests_by_the_second(
    deployments: Deployments, kind: str
) -> None:
    """Ten seconds unless it does; the limiter paces by the window that the service judges by."""
    stated = {"chat": QUOTA | {"request_window_seconds": 1}, "chat@west": QUOTA}
    model = {"deployment": "chat", "spread": ["chat@west"]}
    routes: list[Any] = (await asker(deployments, model, quota=stated, limits={"limiter": kind})).ladder[0]
    windows = [one.limiter._granting._bucket._requests._window.seconds for one in routes]
    assert windows == [1.0, 10.0]


async def test_a_suite_may_do_without_a_limiter(deployments: Deployments) -> None:
    """Its own word counts more than the settings'."""
    ladder = (await asker(deployments, {"deployment": "chat@east"}, limits={"limiter": "none"})).ladder
    assert isinstance(ladder[0][0].limiter, NoLimiter)


async def test_experiments_and_runs_share_a_deployments_route(deployments: Deployments) -> None:
    """Its limiter, its breaker and what was learned of its tokens are the deployment's."""
    first = (await asker(deployments, {"deployment": "chat"})).ladder[0][0]
    again = (await asker(deployments, {"deployment": "large", "fallbacks": ["chat"]})).ladder[1][0]
    assert first is again


async def test_suites_that_state_other_quotas_share_the_deployment_as_two_workers_would(
    deployments: Deployments,
) -> None:
    """Under one name their limiters would take each other's word for their own; breaker and client stay one."""
    quotas = (QUOTA, QUOTA | {"requests_per_minute": 300}, QUOTA)
    one, other, again = [
        (await asker(deployments, {"deployment": "chat"}, quota={"chat": q})).ladder[0][0] for q in quotas
    ]
    limiters: list[Any] = [one.limiter, other.limiter]
    assert [limiter._sharing._tickets.worker for limiter in limiters] == ["worker-1", "worker-1-2"]
    assert (one.breaker, one.model, one.tokens) == (other.breaker, other.model, other.tokens)
    assert again is one


async def test_deployments_of_the_same_name_do_not_share_a_quota(deployments: Deployments) -> None:
    """Their leases lie apart in storage, by endpoint."""
    model = {"deployment": "chat", "spread": ["chat@west"]}
    first = (await asker(deployments, model, quota={"chat": QUOTA, "chat@west": QUOTA})).ladder[0]
    assert [one.limiter._deployment for one in first] == ["chat", "west/chat"]  # type: ignore[attr-defined]


async def test_every_key_that_is_read_is_made_known_for_redaction(deployments: Deployments, learned: list[str]) -> None:
    """One per endpoint; an endpoint without a key takes the default one's."""
    await asker(deployments, {"deployment": "chat", "spread": ["chat@west", "chat@east"]})
    assert learned == ["a-key", "a-key", "another"]


async def test_all_breakers_can_be_looked_at(deployments: Deployments) -> None:
    """By the deployments' names in the suite."""
    ladder = (await asker(deployments, {"deployment": "chat", "fallbacks": ["chat@west"]})).ladder
    for _ in range(5):
        ladder[0][0].breaker.failed(0.0)
    assert deployments.breakers() == {"chat": "open", "chat@west": "closed"}


async def test_the_use_of_every_quota_can_be_looked_at(deployments: Deployments) -> None:
    """What this process took in the last minute, as a part of what the deployment grants; without a quota nothing."""
    ladder = (
        await asker(
            deployments,
            {"deployment": "chat@east", "fallbacks": ["chat"]},
            limits={"limiter": "window"},
            quota={"chat@east": QUOTA},
        )
    ).ladder
    limiter = ladder[0][0].limiter
    for _ in range(6):
        (await limiter.acquire(Charge(1000))).sent()
    assert deployments.quota_use() == {("chat@east", "requests"): 0.01, ("chat@east", "tokens"): 0.06}


async def test_a_route_says_who_answers_and_where(deployments: Deployments) -> None:
    """By the names of OpenTelemetry's conventions; the address of a provider that LiteLLM knows is its own."""
    model = {"deployment": "chat", "fallbacks": ["chat@plain", "chat@local", "chat@other"]}
    servers = [rung[0].server for rung in (await asker(deployments, model)).ladder]
    assert servers == [
        Server("azure.ai.openai", "home.example"),
        Server("openai", "plain.example"),
        Server("llama_cpp", "127.0.0.1", 8089),
        Server("anthropic"),
    ]


async def test_a_hook_of_ones_own_hears_of_questions_without_answer() -> None:
    """Named in the settings as `package.module:callable`; one that is not there is a clear error."""
    heard = await asker(_with_hook("builtins:print"), {"deployment": "chat"})
    assert heard.on_exhausted is print
    with pytest.raises(UserError, match="ASSAY_ON_EXHAUSTED is 'nowhere:hook', which cannot be imported"):
        await asker(_with_hook("nowhere:hook"), {"deployment": "chat"})


def _with_hook(named: str) -> Deployments:
    settings = Settings.load(ENVIRONMENT | {"ASSAY_ON_EXHAUSTED": named})
    return Deployments(settings, MemoryStorage(), RecordingTelemetry(), "worker-1", no_credential, print)


async def test_what_cannot_end_keeps_nothing_else_from_ending(deployments: Deployments) -> None:
    """A limiter that fails to give back its leases costs neither the budget's money nor connections."""
    made = await asker(
        deployments, {"deployment": "chat"}, quota={"chat": QUOTA}, limits={"budget_usd": 1, "limiter": "window"}
    )
    ended: list[str] = []

    async def fails() -> None:
        raise StorageError("no storage")

    async def ends(name: str) -> None:
        ended.append(name)

    route, budget = made.ladder[0][0], made.budget
    route.limiter.drain = fails  # type: ignore[method-assign]
    budget.drain = lambda: ends("budget")  # type: ignore[attr-defined]
    route.model.close = lambda: ends("model")  # type: ignore[method-assign]
    with pytest.raises(StorageError):
        await deployments.close()
    assert ended == ["budget", "model"]
    del route.limiter.drain
