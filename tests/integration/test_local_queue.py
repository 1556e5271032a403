"""The rules of queue triggers, against Azurite."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator

import azure.functions as func
import pytest
from listener_bench import Gate, ListenerBench
from local_host import until

from assay.local.azurite import Azurite
from assay.local.queue_text import encode_body

pytestmark = pytest.mark.azurite


@pytest.fixture
async def bench(azurite: Azurite) -> AsyncIterator[ListenerBench]:
    bench = ListenerBench(azurite)
    await bench.queue.create_queue()
    yield bench
    await bench.close()


async def send(bench: ListenerBench, *bodies: str) -> None:
    for body in bodies:
        await bench.queue.send_message(encode_body(body, "base64"))


async def poisoned(bench: ListenerBench) -> list[str]:
    return [message.content async for message in bench.poison.receive_messages()]


async def test_a_message_reaches_the_function_whole(bench: ListenerBench) -> None:
    """Body, id, dequeue count and times are those of the queue; success deletes the message."""
    seen: list[func.QueueMessage] = []

    async def work(msg: func.QueueMessage) -> None:
        seen.append(msg)

    await send(bench, "grüße")
    async with bench.running(bench.queue_listener(work)):
        await until(lambda: bool(seen))

    assert seen[0].get_body().decode() == "grüße"
    assert seen[0].dequeue_count == 1
    assert seen[0].insertion_time < seen[0].time_next_visible < seen[0].expiration_time
    assert await bench.message_count() == 0


async def test_no_more_than_batch_and_threshold_run_at_once(bench: ListenerBench) -> None:
    """batchSize messages, and the next batch when newBatchThreshold are left: their sum is the most."""
    gate = Gate()

    async def work(msg: func.QueueMessage) -> None:
        await gate(msg.get_body().decode())

    await send(bench, *(str(number) for number in range(12)))
    async with bench.running(bench.queue_listener(work, batch_size=3, new_batch_threshold=2)):
        await until(lambda: len(gate.begun) >= 3)
        gate.open()
        await until(lambda: len(gate.ended) == 12)

    assert gate.most_at_once <= 5


async def test_the_next_batch_waits_for_the_threshold(bench: ListenerBench) -> None:
    """With threshold 0 a batch is fetched only when nothing runs."""
    gate = Gate()

    async def work(msg: func.QueueMessage) -> None:
        await gate(msg.get_body().decode())

    await send(bench, *(str(number) for number in range(6)))
    async with bench.running(bench.queue_listener(work, batch_size=2, new_batch_threshold=0)):
        await until(lambda: len(gate.begun) == 2)
        visible = await bench.queue.peek_messages(max_messages=32)
        gate.open()
        await until(lambda: len(gate.ended) == 6)

    assert len(visible) == 4
    assert gate.most_at_once == 2


async def test_a_failure_is_tried_again_up_to_the_dequeue_count(bench: ListenerBench) -> None:
    """Then the message goes to the poison queue, as it came, and out of its own."""
    counts: list[int] = []

    async def work(msg: func.QueueMessage) -> None:
        counts.append(msg.dequeue_count)
        raise ValueError("never")

    await send(bench, "bad")
    async with bench.running(bench.queue_listener(work, max_dequeue_count=3)):
        await until(lambda: bool(bench.telemetry.named("queue_poison")))

    assert counts == [1, 2, 3]
    assert await poisoned(bench) == [encode_body("bad", "base64")]
    assert await bench.message_count() == 0


async def test_visibility_timeout_is_the_pause_after_a_failure(bench: ListenerBench) -> None:
    """The message stays hidden for that long."""

    async def work(msg: func.QueueMessage) -> None:
        raise ValueError("once")

    await send(bench, "bad")
    async with bench.running(bench.queue_listener(work, visibility_timeout_seconds=600)):
        await until(lambda: bool(bench.telemetry.named("function_failed")))

    assert await bench.queue.peek_messages() == []
    assert await bench.message_count() == 1


async def test_a_message_that_kills_the_process_every_time_is_poison_too(bench: ListenerBench) -> None:
    """A dequeue count above the most allowed means that no attempt ever came back."""
    called: list[str] = []

    async def work(msg: func.QueueMessage) -> None:
        called.append("never")

    await send(bench, "deadly")
    for _ in range(2):
        async for _message in bench.queue.receive_messages(visibility_timeout=1):
            break
        await until(lambda: is_visible(bench))
    async with bench.running(bench.queue_listener(work, max_dequeue_count=2)):
        await until(lambda: bool(bench.telemetry.named("queue_poison")))

    assert called == []
    assert len(await poisoned(bench)) == 1


async def is_visible(bench: ListenerBench) -> bool:
    return bool(await bench.queue.peek_messages())


async def test_a_message_that_is_not_base64_is_poison_at_once(bench: ListenerBench) -> None:
    """It does not reach the function, and the listener lives on."""
    bodies: list[str] = []

    async def work(msg: func.QueueMessage) -> None:
        bodies.append(msg.get_body().decode())

    await bench.queue.send_message("{not base64}")
    await send(bench, "good")
    async with bench.running(bench.queue_listener(work)):
        await until(lambda: bool(bodies and bench.telemetry.named("queue_poison")))

    assert bodies == ["good"]
    assert await poisoned(bench) == ["{not base64}"]


async def test_a_poison_queue_has_no_poison_queue(bench: ListenerBench) -> None:
    """A failing message stays there, hidden until its lease ends."""

    async def work(msg: func.QueueMessage) -> None:
        raise ValueError("never")

    await bench.poison.create_queue()
    await bench.poison.send_message(base64.b64encode(b"bad").decode())
    async with bench.running(bench.queue_listener(work, queue=f"{bench.name}-poison", max_dequeue_count=1)):
        await until(lambda: bool(bench.telemetry.named("function_failed")))

    assert (await bench.poison.get_queue_properties()).approximate_message_count == 1
    assert not bench.telemetry.named("queue_poison")


async def test_an_unreadable_poison_message_is_hidden_for_longer_than_its_lease(bench: ListenerBench) -> None:
    """A heap of them, shown again and again, would keep readable ones waiting."""

    async def work(msg: func.QueueMessage) -> None:
        return

    await bench.poison.create_queue()
    await bench.poison.send_message("{not base64}")
    async with bench.running(bench.queue_listener(work, queue=f"{bench.name}-poison", lease_seconds=1)):
        await until(lambda: bool(bench.telemetry.named("queue_undecodable")))
    await asyncio.sleep(1.5)

    assert (await bench.poison.get_queue_properties()).approximate_message_count == 1
    assert not await bench.poison.peek_messages()


async def test_a_long_function_keeps_its_message(bench: ListenerBench) -> None:
    """The lease is renewed at half time, so nobody else sees the message while it is worked on."""
    gate = Gate()

    async def work(msg: func.QueueMessage) -> None:
        await gate(msg.get_body().decode())

    await send(bench, "long")
    listeners = [bench.queue_listener(work, lease_seconds=1), bench.queue_listener(work, lease_seconds=1)]
    async with bench.running(*listeners):
        await until(lambda: len(gate.begun) == 1)
        await asyncio.sleep(2.5)
        begun_after_two_leases = len(gate.begun)
        gate.open()
        await until(lambda: bool(gate.ended))

    assert begun_after_two_leases == 1
    assert await bench.message_count() == 0


async def test_a_stop_takes_no_new_messages_and_finishes_those_running(bench: ListenerBench) -> None:
    """The drain."""
    gate = Gate()

    async def work(msg: func.QueueMessage) -> None:
        await gate(msg.get_body().decode())

    await send(bench, "a", "b", "c", "d")
    async with bench.running(bench.queue_listener(work, batch_size=2, new_batch_threshold=0)):
        await until(lambda: len(gate.begun) == 2)
        asyncio.get_running_loop().call_later(0.2, gate.open)

    assert sorted(gate.ended) == sorted(gate.begun)
    assert len(gate.begun) == 2
    assert await bench.message_count() == 2


async def test_a_function_that_outlasts_the_drain_is_cancelled_and_its_message_kept(bench: ListenerBench) -> None:
    """It is seen again when its lease ends."""
    gate = Gate()

    async def work(msg: func.QueueMessage) -> None:
        await gate(msg.get_body().decode())

    await send(bench, "endless")
    async with bench.running(bench.queue_listener(work), drain_seconds=0):
        await until(lambda: len(gate.begun) == 1)

    assert gate.ended == []
    assert await bench.message_count() == 1


async def test_a_missing_queue_is_created(bench: ListenerBench) -> None:
    """The app may be started before anything was sent."""
    bodies: list[str] = []

    async def work(msg: func.QueueMessage) -> None:
        bodies.append(msg.get_body().decode())

    await bench.queue.delete_queue()
    async with bench.running(bench.queue_listener(work)):
        await until(lambda: can_send(bench))
        await until(lambda: bodies == ["late"])


async def can_send(bench: ListenerBench) -> bool:
    try:
        await send(bench, "late")
    except Exception:
        return False
    return True
