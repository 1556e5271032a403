"""The response cache: what is kept, what is served, and that nothing spoilt ever is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import StorageError
from assay.llm.base import AnswerSchema, ChatAnswer, ChatMessage, ChatRequest, ModelError
from assay.llm.errors import FailureKind
from assay.middleware.base import NOTHING_SPENT, Question, Reply, Spent, Unanswered
from assay.middleware.cache import MOST_WRITES, CacheOptions, ResponseCache
from assay.middleware.cached_answer import CachedAnswer, CorruptEntry, cache_key, packed, unpacked
from assay.records import Attempt, Usage
from assay.storage import layout
from assay.storage.memory import MemoryStorage
from assay.telemetry import RecordingTelemetry

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
USAGE = Usage(input_tokens=12, cached_input_tokens=4, output_tokens=5)
ANSWER = ChatAnswer("Thirteen.", "stop", "mini-2024", "r-1", USAGE, 1.25)
SPENT = Spent(USAGE, Decimal("0.01"))
REQUEST = ChatRequest("chat", (ChatMessage("system", "Add."), ChatMessage("user", "6 and 7")), 40, 0.0, 7)
QUESTION = Question("run-1", "plain", "sum", "T-1", REQUEST)
PATH = layout.cached_answer(cache_key(QUESTION))
ENTRY = CachedAnswer.of(cache_key(QUESTION), Reply(ANSWER, "chat@west"), NOON)


class Model:
    """Answers every question the same, and counts; waits for `gate` when it has one, fails when told to."""

    def __init__(self, answer: ChatAnswer = ANSWER) -> None:
        self.answer = answer
        self.asked = 0
        self.failures = 0
        self.gate: asyncio.Event | None = None

    async def __call__(self, question: Question) -> Reply:
        self.asked += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise Unanswered(ModelError(FailureKind.SERVER_ERROR, "no"))
        return Reply(self.answer, "chat@west", (Attempt(number=1, status=200),), 3.0, SPENT)


class Bench:
    """A cache over storage in memory, a model behind it and a clock to set."""

    def __init__(self) -> None:
        self.now = NOON
        self.storage = MemoryStorage()
        self.telemetry = RecordingTelemetry()
        self.model = Model()
        self.cache = self.another()

    def another(self, days: float | None = 30) -> ResponseCache:
        """One more cache on the same storage, as in another worker."""
        return ResponseCache(self.storage, self.telemetry, lambda: self.now, CacheOptions(days=days))

    async def ask(self, question: Question = QUESTION, cache: ResponseCache | None = None) -> Reply:
        """The reply, after whatever is kept has been written."""
        used = cache or self.cache
        reply = await used.answer(question, self.model)
        await used.end()
        return reply


@pytest.fixture(name="bench")
def _bench() -> Bench:
    return Bench()


async def test_a_question_is_asked_once_for_all_workers(bench: Bench) -> None:
    """The second reply is the first one's answer, marked, without attempts, waiting or cost."""
    first = await bench.ask()
    second = await bench.ask(cache=bench.another())
    assert bench.model.asked == 1
    assert (first.cached, first.spent) == (False, SPENT)
    assert second == Reply(ANSWER, "chat@west", cached=True)
    assert (second.spent, second.quota_wait_seconds) == (NOTHING_SPENT, 0.0)


async def test_a_miss_is_one_read_and_one_write_and_a_hit_one_read(bench: Bench) -> None:
    """Storage operations cost money and time."""
    await bench.ask()
    assert bench.storage.operations == {"read": 1, "write": 1}
    await bench.ask()
    assert bench.storage.operations == {"read": 2, "write": 1}


async def test_the_same_question_of_another_run_hits(bench: Bench) -> None:
    """Run, experiment, criterion and row do not shape an answer, nor do timeouts."""
    patient = replace(REQUEST, timeout_seconds=5.0, connect_timeout_seconds=1.0, read_timeout_seconds=2.0)
    await bench.ask()
    assert (await bench.ask(Question("run-2", "other", "total", "T-9", patient))).cached


OTHERS: dict[str, Any] = {
    "deployment": "chat-2",
    "messages": (ChatMessage("user", "Add.6 and 7"),),
    "max_tokens": 41,
    "temperature": None,
    "seed": 8,
    "json": True,
    "stop": ("\n",),
    "schema": AnswerSchema("total", "{}"),
    "stream": True,
    "reasoning_effort": "none",
}


@pytest.mark.parametrize("name", [one.name for one in fields(ChatRequest) if "timeout" not in one.name])
def test_everything_that_shapes_an_answer_is_in_the_key(name: str) -> None:
    """A new field of requests has to be listed here, and is in the key by itself."""
    changed = replace(QUESTION, request=replace(REQUEST, **{name: OTHERS[name]}))
    assert cache_key(changed) != cache_key(QUESTION)


def test_repeats_are_kept_apart() -> None:
    """They are asked on purpose, to see answers differ."""
    assert cache_key(replace(QUESTION, repeat=1)) != cache_key(QUESTION)


def test_the_key_is_the_same_in_every_process() -> None:
    """A change of this digest makes every cache useless: then raise FORMAT and say so."""
    shape = {
        "deployment": "chat",
        "json": False,
        "max_tokens": 40,
        "messages": [{"content": "Add.", "role": "system"}, {"content": "6 and 7", "role": "user"}],
        "seed": 7,
        "stop": [],
        "temperature": 0.0,
    }
    content = json.dumps({"repeat": 0, "request": shape, "v": 1}, sort_keys=True, separators=(",", ":"))
    assert cache_key(QUESTION) == sha256(content.encode()).hexdigest()


@pytest.mark.parametrize(
    "changes",
    [{"finish_reason": "length"}, {"finish_reason": ""}, {"refused": True}, {"unfiltered": True}, {"text": " \n"}],
)
async def test_only_whole_answers_are_kept(bench: Bench, changes: dict[str, Any]) -> None:
    """What was cut, refused, empty or not filtered may be better the next time."""
    bench.model.answer = replace(ANSWER, **changes)
    await bench.ask()
    assert not (await bench.ask()).cached
    assert bench.storage.operations["write"] == 0


async def test_names_and_metadata_hold_nothing_but_digests(bench: Bench) -> None:
    """They are listed and logged."""
    await bench.ask()
    (entry,) = [one async for one in bench.storage.list("cache/")]
    key = cache_key(QUESTION)
    assert entry.path == f"cache/{key[:2]}/{key}.json"
    assert entry.metadata == {"sha256": sha256(await bench.storage.read(PATH)).hexdigest()}


SPOILT: list[tuple[str, Callable[[bytes], bytes], str]] = [
    ("truncated", lambda blob: blob[:-10], "it is not JSON"),
    ("flipped", lambda blob: blob.replace(b"Thirteen", b"Fourteen"), "its digest does not match"),
    ("empty", lambda blob: b"", "it is empty"),
    ("without a digest", lambda blob: blob.replace(b"sha256", b"sha255"), "its digest does not match"),
    ("another one's", lambda _: packed(ENTRY.model_copy(update={"key": "0" * 64})), "it is the entry of another key"),
    ("foreign", lambda _: b'{"a":1}', "its digest does not match"),
    ("spaced", lambda blob: blob.replace(b'":', b'": '), "it is not in the form that the cache writes"),
    ("a list", lambda _: b"[]", "it is not in the form that the cache writes"),
    ("too deep", lambda _: b"[" * 100_000, "it is not JSON"),
    ("not text", lambda _: b"\xff\xfe\x00", "it is not JSON"),
]


@pytest.mark.parametrize(("name", "spoil", "reason"), SPOILT, ids=[name for name, _, _ in SPOILT])
async def test_a_corrupt_entry_is_counted_replaced_and_never_served(
    bench: Bench, name: str, spoil: Callable[[bytes], bytes], reason: str
) -> None:
    """The model is asked again, and the next reader finds a whole entry."""
    await bench.ask()
    whole = await bench.storage.read(PATH)
    await bench.storage.write(PATH, spoil(whole), overwrite=True)
    reply = await bench.ask()
    assert (reply.cached, reply.answer.text, bench.model.asked) == (False, "Thirteen.", 2)
    assert bench.telemetry.named("cache_corrupt") == [{"key": cache_key(QUESTION), "reason": reason}]
    assert (await bench.ask()).cached
    assert await bench.storage.read(PATH) == whole


@given(st.data())
def test_any_byte_that_changes_is_found(data: st.DataObject) -> None:
    """Whatever it is changed to."""
    blob = bytearray(packed(ENTRY))
    at = data.draw(st.integers(0, len(blob) - 1))
    blob[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CorruptEntry):
        unpacked(bytes(blob), ENTRY.key)


@given(st.binary(max_size=300))
def test_no_other_bytes_are_an_entry(blob: bytes) -> None:
    """Nor do they raise anything else."""
    with pytest.raises(CorruptEntry):
        unpacked(blob, ENTRY.key)


@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=50), st.floats(0, 1e6), st.none() | st.just(0.5))
def test_an_answer_comes_back_as_it_was(text: str, latency_seconds: float, first: float | None) -> None:
    """Every character of it, lone surrogates included, and when a streamed one began."""
    changes = {"text": text, "latency_seconds": latency_seconds, "first_token_seconds": first}
    entry = ENTRY.model_copy(update=changes)
    assert unpacked(packed(entry), ENTRY.key) == entry


async def test_an_old_answer_is_asked_for_anew(bench: Bench) -> None:
    """Its age is counted from the day it was given, and the new one takes its place."""
    await bench.ask()
    bench.now += timedelta(days=30) - timedelta(seconds=1)
    assert (await bench.ask()).cached
    bench.now += timedelta(seconds=1)
    assert not (await bench.ask()).cached
    assert (await bench.ask()).cached


async def test_an_answer_of_the_last_of_days_is_read(bench: Bench) -> None:
    """What a clock that is far off wrote is an entry like any other."""
    bench.now = datetime.max.replace(tzinfo=UTC)
    await bench.ask()
    assert (await bench.ask()).cached


async def test_without_days_an_answer_stays(bench: Bench) -> None:
    """`days: null` in the suite."""
    await bench.ask()
    bench.now += timedelta(days=10_000)
    assert (await bench.ask(cache=bench.another(days=None))).cached


async def test_equal_questions_at_once_are_asked_once(bench: Bench) -> None:
    """The others wait for the first one's answer, which costs them nothing, and read no storage."""
    bench.model.gate = asyncio.Event()
    asking = [asyncio.create_task(bench.cache.answer(QUESTION, bench.model)) for _ in range(5)]
    await _turns()
    bench.model.gate.set()
    replies = await asyncio.gather(*asking)
    assert (bench.model.asked, [reply.cached for reply in replies]) == (1, [False, True, True, True, True])
    assert bench.storage.operations["read"] == 1


async def test_when_the_first_fails_the_next_asks(bench: Bench) -> None:
    """One failure is one trial's."""
    bench.model.gate, bench.model.failures = asyncio.Event(), 2
    asking = [asyncio.create_task(bench.cache.answer(QUESTION, bench.model)) for _ in range(5)]
    await _turns()
    bench.model.gate.set()
    replies = await asyncio.gather(*asking, return_exceptions=True)
    assert [isinstance(reply, Unanswered) for reply in replies] == [True, True, False, False, False]
    assert bench.model.asked == 3


async def test_when_the_first_is_cancelled_the_next_asks(bench: Bench) -> None:
    """Its cancellation is nobody else's."""
    bench.model.gate = asyncio.Event()
    first, *others = (asyncio.create_task(bench.cache.answer(QUESTION, bench.model)) for _ in range(3))
    await _turns()
    first.cancel()
    bench.model.gate.set()
    replies = await asyncio.gather(*others)
    assert first.cancelled()
    assert [reply.cached for reply in replies] == [False, True]


async def test_a_failed_write_costs_no_trial(bench: Bench) -> None:
    """It is an event, and the question is asked again the next time."""
    bench.storage.fail_next("write", StorageError("no"))
    assert (await bench.ask()).answer == ANSWER
    assert bench.telemetry.named("cache_write_failed") == [{"key": cache_key(QUESTION), "reason": "StorageError"}]
    assert not (await bench.ask()).cached


async def test_a_failed_read_costs_no_trial(bench: Bench) -> None:
    """The model is asked, as without a cache."""
    await bench.ask()
    bench.storage.fail_next("read", StorageError("no"))
    assert not (await bench.ask()).cached
    assert bench.telemetry.named("cache_read_failed") == [{"key": cache_key(QUESTION), "reason": "StorageError"}]


async def test_two_workers_may_keep_the_same_answer(bench: Bench) -> None:
    """The first one stays."""
    caches = [bench.another(), bench.another()]
    bench.model.gate = asyncio.Event()
    asking = [asyncio.create_task(cache.answer(QUESTION, bench.model)) for cache in caches]
    await _turns()
    bench.model.gate.set()
    await asyncio.gather(*asking)
    await asyncio.gather(*(cache.end() for cache in caches))
    assert bench.model.asked == 2
    assert bench.telemetry.named("cache_write_failed") == []
    assert (await bench.ask()).cached


async def test_a_reply_does_not_wait_for_its_writing(bench: Bench) -> None:
    """Storage may be slow, or gone."""
    storage = SlowStorage()
    cache = ResponseCache(storage, bench.telemetry, lambda: NOON)
    assert (await cache.answer(QUESTION, bench.model)).answer == ANSWER
    assert (await cache.answer(QUESTION, bench.model)).cached, "what is being written is known already"
    ending = asyncio.create_task(cache.end())
    await _turns()
    assert not ending.done()
    storage.gate.set()
    await ending
    assert await storage.read(PATH)


async def test_answers_do_not_pile_up_before_slow_storage(bench: Bench) -> None:
    """Above a number of writes under way, answers are not kept."""
    storage = SlowStorage()
    cache = ResponseCache(storage, bench.telemetry, lambda: NOON)
    for repeat in range(MOST_WRITES + 5):
        await cache.answer(replace(QUESTION, repeat=repeat), bench.model)
    storage.gate.set()
    await cache.end()
    assert bench.telemetry.named("cache_used") == [{"misses": MOST_WRITES + 5, "unwritten": 5}]


class SlowStorage(MemoryStorage):
    """Writes wait for the gate."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def write(self, path: str, content: bytes, **options: Any) -> str:
        await self.gate.wait()
        return await super().write(path, content, **options)


async def _turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)
