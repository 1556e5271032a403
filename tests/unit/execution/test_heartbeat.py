"""The heartbeat: while a worker works, and only then."""

from __future__ import annotations

import asyncio

from assay.execution.heartbeat import BEAT_SECONDS, Heartbeat
from assay.telemetry import RecordingTelemetry, bound
from assay.telemetry_names import AXIS, DEPLOYMENT, HEARTBEAT, QUOTA_USE


class Sleeps:
    """Whoever sleeps now is woken when the test says so."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self._over = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        await self._over.wait()

    async def end(self) -> None:
        for _ in range(4):
            await asyncio.sleep(0)
        self._over.set()
        self._over = asyncio.Event()
        for _ in range(4):
            await asyncio.sleep(0)


async def test_a_worker_tells_every_half_minute_what_it_is_doing() -> None:
    """Chunks and trials under way, the state of every breaker, how much of each quota is used; of no run."""
    telemetry, sleeps = RecordingTelemetry(), Sleeps()
    use = {("gpt-4o-mini", "tokens"): 0.25}
    heartbeat = Heartbeat("host-7", telemetry, lambda: 12, lambda: {"gpt-4o-mini": "open"}, sleeps, lambda: use)

    with bound(run="the first chunk's"):
        async with heartbeat.working(), heartbeat.working():
            await sleeps.end()
            await sleeps.end()

    said = {"worker": "host-7", "chunks": 2, "trials": 12, "breakers": {"gpt-4o-mini": "open"}}
    assert telemetry.named("worker_alive") == [said, said]
    assert telemetry.values(HEARTBEAT) == [(12, {})] * 2
    assert telemetry.values(QUOTA_USE) == [(0.25, {DEPLOYMENT: "gpt-4o-mini", AXIS: "tokens"})] * 2
    assert sleeps.asked == [BEAT_SECONDS] * 3


async def test_an_idle_worker_says_nothing() -> None:
    """The last block ends the beat, whatever ended the block; the next one begins it anew."""
    telemetry, sleeps = RecordingTelemetry(), Sleeps()
    heartbeat = Heartbeat("host-7", telemetry, lambda: 0, sleep=sleeps)

    for _ in range(2):
        try:
            async with heartbeat.working():
                await asyncio.sleep(0)
                raise ValueError
        except ValueError:
            await sleeps.end()

    assert telemetry.events == []
    assert len(sleeps.asked) == 2
