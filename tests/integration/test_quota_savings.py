"""What estimates, lowered limits and the cache do against a service that charges as Azure OpenAI does, over HTTP."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx2
import pytest

from assay.errors import BlobMissing
from assay.execution.asking import Asker
from assay.execution.routes import Route
from assay.llm.azure_openai import AzureOpenAIChat
from assay.llm.base import ChatMessage, ChatRequest
from assay.llm.pricing import load_prices
from assay.local.azurite import Azurite
from assay.local.emulator_config import Deployment, EmulatorConfig, TokenCount
from assay.local.openai_emulator import running_emulator
from assay.middleware.answer_limits import AnswerLimits
from assay.middleware.base import Question, Reply
from assay.middleware.cache import ResponseCache
from assay.middleware.cache_upkeep import check, measure, remove
from assay.middleware.cached_answer import cache_key
from assay.quota.none import NoLimiter
from assay.storage import layout
from assay.storage.azure import AzureStorage
from assay.telemetry import RecordingTelemetry
from assay.tokens.estimate import TokenEstimator

VERSION = "2024-10-21"
QUOTA = 10_000_000
LONGEST = 1_000
CHAT = Deployment(
    model="gpt-4o-mini-2024-07-18",
    requests_per_minute=60_000,
    tokens_per_minute=QUOTA,
    answer_tokens=TokenCount(median=140, sigma=0.7),
)


class Bench:
    """An asker whose one route leads to the emulator."""

    def __init__(self, model: AzureOpenAIChat, plain: httpx2.AsyncClient) -> None:
        self.plain = plain
        self.telemetry = RecordingTelemetry()
        self.tokens = TokenEstimator("chat", self.telemetry)
        route = Route("chat", "chat", model, NoLimiter(), tokens=self.tokens)
        self.ask = Asker(
            ladder=((route,),),
            prices=load_prices(),
            attempts_limit=3,
            clock=time.monotonic,
            sleep=asyncio.sleep,
            random=random.random,
            telemetry=self.telemetry,
        )

    async def left(self) -> int:
        """Tokens that the quota still grants, after the smallest request there is."""
        smallest = {"messages": [{"role": "user", "content": "."}], "max_tokens": 1}
        answer = await self.plain.post("/openai/deployments/chat/chat/completions", json=smallest)
        return int(answer.headers["x-ratelimit-remaining-tokens"])


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    async with running_emulator(EmulatorConfig({"chat": CHAT}, ())) as address:
        model = AzureOpenAIChat(address, VERSION, api_key="any")
        asking = {"params": {"api-version": VERSION}, "headers": {"api-key": "any"}}
        async with httpx2.AsyncClient(base_url=address, **asking) as plain:
            yield Bench(model, plain)
        await model.close()


def question(row: int) -> Question:
    text = f"Row {row}. " + "What does the customer want? " * (row % 40 + 5)
    messages = (ChatMessage("system", "Be brief."), ChatMessage("user", text))
    return Question("run-1", "plain", "tone", f"T-{row}", ChatRequest("chat", messages, LONGEST, 0.0))


async def test_the_estimate_is_what_the_service_charges() -> None:
    """Before anything is learned and after: within a token of every single charge."""
    async with bench() as service:
        smallest = service.tokens.estimate((ChatMessage("user", "."),)) + 1
        before = await service.left()
        for row in range(60):
            asked = question(row)
            estimated = service.tokens.estimate(asked.request.messages) + LONGEST
            await service.ask(asked)
            after = await service.left()
            charged = before - after - smallest
            assert charged <= estimated <= charged + 1
            before = after
    assert abs(service.tokens.bias) < 0.005
    assert service.tokens.sigma < 0.01
    assert service.tokens.billed(question(1).request.messages) <= service.tokens.highest(question(1).request.messages)


async def test_lowered_limits_change_the_charge_and_not_the_answers() -> None:
    """Every text and finish reason is the same to the byte; the quota is charged a third less."""
    async with bench() as service:
        plain, charged = await _asked(service, None)
    async with bench() as service:
        limits = AnswerLimits(service.telemetry, {"chat"})
        limited, charged_less = await _asked(service, limits)
        await limits.end()
    assert [_result(reply) for reply in limited] == [_result(reply) for reply in plain]
    assert charged_less < 0.8 * charged
    (report,) = service.telemetry.named("answer_limit")
    assert report["tokens_saved"] == pytest.approx(charged - charged_less, abs=2)
    assert 0 < report["rerun_share"] <= 0.06


async def _asked(service: Bench, limits: AnswerLimits | None) -> tuple[list[Reply], int]:
    """The replies to 300 questions, some at a time, and what the quota was charged for them."""
    before = await service.left()
    asked = [question(row) for row in range(300)]
    replies: list[Reply] = []
    for at in range(0, len(asked), 15):
        batch = asked[at : at + 15]
        asking = (limits.answer(one, service.ask) if limits else service.ask(one) for one in batch)
        replies.extend(await asyncio.gather(*asking))
    return replies, before - await service.left() - (1 + 4 + 1)


def _result(reply: Reply) -> tuple[str, str, int]:
    answer = reply.answer
    return answer.text, answer.finish_reason, answer.usage.output_tokens


@pytest.mark.azurite
async def test_the_cache_on_blobs(azurite: Azurite) -> None:
    """Two workers, one answer each way: kept once, read whole, spoilt, replaced, removed."""
    storage = AzureStorage.from_connection_string(azurite.connection_string)
    telemetry = RecordingTelemetry()
    asked = question(int(uuid.uuid4()))
    path = layout.cached_answer(cache_key(asked))
    async with bench() as service:
        caches = [ResponseCache(storage, telemetry, lambda: datetime.now(UTC)) for _ in range(2)]
        first = await asyncio.gather(*(cache.answer(asked, service.ask) for cache in caches))
        await asyncio.gather(*(cache.end() for cache in caches))
        second = await caches[0].answer(asked, service.ask)
        assert [reply.cached for reply in (*first, second)] == [False, False, True]
        assert _result(second) == _result(first[0])
        entry = await storage.find(path)
        assert entry is not None and set(entry.metadata) == {"sha256"}
        await storage.write(path, (await storage.read(path))[:-1], overwrite=True)
        assert not (await caches[1].answer(asked, service.ask)).cached
        await caches[1].end()
        assert (await caches[0].answer(asked, service.ask)).cached
    assert len(telemetry.named("cache_corrupt")) == 1
    assert (await measure(storage)).entries >= 1
    assert [one.fault async for one in check(storage) if one.entry.path == path] == [None]
    await remove(storage, [path, path])
    with pytest.raises(BlobMissing):
        await storage.read(path)
    await storage.close()
