"""The rules of blob triggers, against Azurite."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import azure.functions as func
import pytest
from listener_bench import CONNECTION, Gate, ListenerBench
from local_host import until

from assay.local.azurite import Azurite
from assay.local.blob_listener import POISON_QUEUE
from assay.local.queue_text import decode_body

pytestmark = pytest.mark.azurite


@pytest.fixture
async def bench(azurite: Azurite) -> AsyncIterator[ListenerBench]:
    bench = ListenerBench(azurite)
    await bench.container.create_container()
    yield bench
    await bench.close()


class Taken:
    """A blob function that records what it got."""

    def __init__(self, failures: int = 0) -> None:
        self.names: list[str] = []
        self.streams: list[func.InputStream] = []
        self._failures = failures

    async def __call__(self, blob: func.InputStream) -> None:
        self.streams.append(blob)
        self.names.append((blob.name or "").partition("/")[2])
        if len(self.names) <= self._failures:
            raise ValueError("bad file")

    def as_function(self):  # type: ignore[no-untyped-def]
        async def take(blob: func.InputStream) -> None:
            await self(blob)

        return take


async def test_a_blob_reaches_the_function_whole(bench: ListenerBench) -> None:
    """Content, name, length, address and metadata; names may hold any letters."""
    taken = Taken()
    await bench.container.upload_blob("suite a/ä — 数据.csv", b"id\n1\n", metadata={"owner": "me"})
    async with bench.running(bench.blob_listener(taken.as_function(), "{suite}/{name}.csv")):
        await until(lambda: bool(taken.names))

    blob = taken.streams[0]
    assert taken.names == ["suite a/ä — 数据.csv"]
    assert (blob.read(), blob.length, blob.metadata) == (b"id\n1\n", 5, {"owner": "me"})
    assert blob.uri and blob.uri.startswith("http://127.0.0.1")


async def test_only_blobs_that_match_the_path_are_taken(bench: ListenerBench) -> None:
    """The last placeholder takes the rest, slashes included; others end at a slash."""
    taken = Taken()
    for name in ("in/a/b.csv", "in/a/b/c.csv", "in/a.csv", "in/a/b.txt", "out/a/b.csv"):
        await bench.container.upload_blob(name, b"x")
    async with bench.running(bench.blob_listener(taken.as_function(), "in/{suite}/{name}.csv")):
        await until(lambda: len(taken.names) == 2)

    assert sorted(taken.names) == ["in/a/b.csv", "in/a/b/c.csv"]


async def test_a_version_that_is_dealt_with_is_not_taken_again_by_a_new_host(bench: ListenerBench) -> None:
    """Its receipt says so; a new ETag has none."""
    first, second = Taken(), Taken()
    await bench.container.upload_blob("a", b"1")
    async with bench.running(bench.blob_listener(first.as_function())):
        await until(lambda: bool(bench.telemetry.named("function_succeeded")))
    await bench.container.upload_blob("b", b"1")
    async with bench.running(bench.blob_listener(second.as_function())):
        await until(lambda: second.names == ["b"])
        await bench.container.upload_blob("a", b"2", overwrite=True)
        await until(lambda: second.names == ["b", "a"])

    assert first.names == ["a"]
    assert second.streams[1].read() == b"2"


async def test_a_version_whose_function_was_cut_off_is_taken_again(bench: ListenerBench) -> None:
    """No receipt is written before the function has ended."""
    gate, second = Gate(), Taken()

    async def take(blob: func.InputStream) -> None:
        await gate(blob.name or "")

    await bench.container.upload_blob("a", b"1")
    async with bench.running(bench.blob_listener(take), drain_seconds=0):
        await until(lambda: len(gate.begun) == 1)
    async with bench.running(bench.blob_listener(second.as_function())):
        await until(lambda: second.names == ["a"])


async def test_a_failure_is_tried_again(bench: ListenerBench) -> None:
    """Up to poisonBlobThreshold times."""
    taken = Taken(failures=2)
    await bench.container.upload_blob("a", b"1")
    async with bench.running(bench.blob_listener(taken.as_function(), poison_blob_threshold=3)):
        await until(lambda: bool(bench.telemetry.named("function_succeeded")))

    assert taken.names == ["a", "a", "a"]
    assert not bench.telemetry.named("blob_poison")


async def test_a_version_that_keeps_failing_is_poison(bench: ListenerBench) -> None:
    """A message in webjobs-blobtrigger-poison names it, and a receipt keeps it from running again."""
    taken, after = Taken(failures=99), Taken()
    await bench.container.upload_blob("bad", b"1")
    async with bench.running(bench.blob_listener(taken.as_function(), poison_blob_threshold=2)):
        await until(lambda: bool(bench.telemetry.named("blob_poison")))
    await bench.container.upload_blob("good", b"1")
    async with bench.running(bench.blob_listener(after.as_function())):
        await until(lambda: bool(after.names))

    poison = bench.connections.queue(CONNECTION, POISON_QUEUE)
    messages = [json.loads(decode_body(each.content, "base64")) async for each in poison.receive_messages()]
    assert [each["BlobName"] for each in messages if each["ContainerName"] == bench.name] == ["bad"]
    assert (taken.names, after.names) == (["bad", "bad"], ["good"])


async def test_no_more_than_the_degree_of_parallelism_run_at_once(bench: ListenerBench) -> None:
    """maxDegreeOfParallelism bounds a drop of many files."""
    gate = Gate()

    async def take(blob: func.InputStream) -> None:
        await gate(blob.name or "")

    for number in range(7):
        await bench.container.upload_blob(str(number), b"x")
    async with bench.running(bench.blob_listener(take, max_degree_of_parallelism=3)):
        await until(lambda: len(gate.begun) == 3)
        gate.open()
        await until(lambda: len(gate.ended) == 7)

    assert gate.most_at_once == 3


async def test_a_missing_container_is_created_and_then_watched(bench: ListenerBench) -> None:
    """The app may be started before anything was dropped."""
    taken = Taken()
    await bench.container.delete_container()
    async with bench.running(bench.blob_listener(taken.as_function())):
        await until(bench.container.exists)
        await bench.container.upload_blob("a", b"1")
        await until(lambda: taken.names == ["a"])


async def test_a_blob_that_vanishes_before_it_is_read_is_left_alone(bench: ListenerBench) -> None:
    """Gone is dealt with."""
    gate, seen = Gate(), []

    async def take(blob: func.InputStream) -> None:
        seen.append(blob.name)
        await gate(blob.name or "")

    for name in ("a", "b"):
        await bench.container.upload_blob(name, b"x")
    async with bench.running(bench.blob_listener(take, max_degree_of_parallelism=1)):
        await until(lambda: len(seen) == 1)
        await bench.container.delete_blob("b")
        gate.open()
        await asyncio.sleep(0.2)

    assert seen == [f"{bench.name}/a"]
    assert not bench.telemetry.named("function_failed")
