"""More workers than partitions: those without quota leave the work to the others, whatever a queue brings them."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path

from virtual_time import Fleet, heaviest_window

from virtual_loop import run_virtually

sys.path.append(str(Path(__file__).parent.parent / "execution"))

from worker_bench import Asked, begin_run, worker

from assay.execution.ledger import read_outcomes
from assay.execution.worker import Worker
from assay.llm.base import ChatRequest
from assay.quota.base import Charge, Quota
from assay.quota.limiter import BlobLeaseLimiter
from assay.quota.shares import partition_count
from assay.records import TrialStatus
from assay.run_records import Plan
from assay.storage import layout
from builders import RUN

SMALL = Quota(600, 100_000)
PARTITIONS = partition_count(SMALL)
TOKENS = 1_000
PLACES, SLOTS = 4, 32
"""Messages that a host gives to one process at a time, and trials under way in it."""


class Crowd:
    """Processes of one queue; each has a limiter of its own and as many places for messages as a host gives it."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.visible: deque[str] = deque()
        self.waits: list[float] = []
        self.sends: list[tuple[float, float]] = []
        self.fetched = 0

    def join(self) -> None:
        limiter = self.fleet.worker().limiter
        mine = worker(self.fleet.storage, Asked(self._through(limiter)), concurrency=SLOTS, linger_seconds=1.0)
        self.tasks = [asyncio.create_task(self._place(mine)) for _ in range(PLACES)]

    def _through(self, limiter: BlobLeaseLimiter) -> Callable[[ChatRequest], Awaitable[str]]:
        async def reply(request: ChatRequest) -> str:
            began = self.fleet.clock()
            try:
                permit = await limiter.acquire(Charge(TOKENS))
            finally:
                self.waits.append(self.fleet.clock() - began)
            permit.sent()
            self.sends.append((self.fleet.clock(), TOKENS))
            await asyncio.sleep(1.0)
            return "{}"

        return reply

    async def _place(self, mine: Worker) -> None:
        while True:
            self.visible.extend(self.fleet.storage.take_messages(layout.TRIALS_QUEUE))
            if self.visible:
                self.fetched += 1
                await mine.handle(self.visible.popleft())
            else:
                await asyncio.sleep(2.0)

    async def work_off(self, plan: Plan) -> None:
        """Returns when every chunk has its outcomes."""
        for message in plan.messages(0, plan.chunks):
            await self.fleet.storage.send(layout.TRIALS_QUEUE, message.model_dump_json())
        while len([one async for one in self.fleet.storage.list(layout.outcomes(RUN))]) < plan.chunks:  # noqa: ASYNC110
            await asyncio.sleep(5.0)


def test_every_trial_succeeds_and_the_quota_is_used_with_four_workers_for_each_partition() -> None:
    """No trial waits for a turn: what a worker without quota fetched goes to one with quota, and costs little."""

    async def scenario() -> tuple[Crowd, list[TrialStatus], int]:
        fleet = Fleet(SMALL)
        fleet.latency_seconds = 0.02
        crowd = Crowd(fleet)
        plan = await begin_run(fleet.storage, rows=1_000, rows_per_chunk=25)
        for _ in range(16):
            crowd.join()
        await crowd.work_off(plan)
        statuses = []
        async for entry in fleet.storage.list(layout.outcomes(RUN)):
            statuses += [one.status for one in read_outcomes(await fleet.storage.read(entry.path))]
        return crowd, statuses, plan.chunks

    crowd, statuses, chunks = run_virtually(scenario())
    assert statuses == [TrialStatus.SUCCEEDED] * 2_000
    assert max(crowd.waits) <= 180.0
    took = crowd.sends[-1][0]
    used = len(crowd.sends) * TOKENS / (took / 60 * SMALL.tokens_per_minute)
    bounces = (crowd.fetched - chunks) / (took / 3_600) / (16 - PARTITIONS)
    print(
        f"\nused {used:.4f}, longest wait {max(crowd.waits):.0f} s, {bounces:.0f} bounces an hour of each without quota"
    )
    assert used >= 0.97
    assert bounces <= 20.0 * PLACES
    assert heaviest_window(crowd.sends, 60.0) <= SMALL.tokens_per_minute + 16 * TOKENS
    assert len(crowd.sends) == 2_000
    told = crowd.fleet.telemetry.named("quota_crowded")
    assert len(told) == 12
    assert "at most 4" in told[0]["advice"]
