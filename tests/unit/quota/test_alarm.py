"""The alarm: looks when it is due or rung, with one task for many looks."""

from __future__ import annotations

import asyncio
from math import inf

import pytest

from assay.quota.alarm import Alarm
from virtual_loop import run_virtually


class Looking:
    """Remembers when it was looked at; the waits it answers are given."""

    def __init__(self, *waits: float) -> None:
        self.waits = list(waits)
        self.looks: list[float] = []
        self.clock = asyncio.get_running_loop().time
        self.alarm = Alarm(self.look, self.clock, asyncio.sleep)

    def look(self) -> float:
        self.looks.append(self.clock())
        return self.waits.pop(0) if self.waits else inf


def test_it_looks_again_when_that_is_due() -> None:
    """Until there is nothing to wait for."""

    async def story() -> list[float]:
        looking = Looking(1.0, 2.0)
        looking.alarm.ring()
        await asyncio.sleep(10.0)
        return looking.looks

    assert run_virtually(story()) == [0.0, 1.0, 3.0]


def test_a_ring_looks_at_once_and_several_are_one() -> None:
    """Never within the step of who rings: he may be in the middle of a change."""

    async def story() -> list[float]:
        looking = Looking(5.0, 1.0)
        looking.alarm.ring()
        await asyncio.sleep(1.0)
        looking.alarm.ring()
        looking.alarm.ring()
        assert looking.looks == [0.0]
        await asyncio.sleep(10.0)
        return looking.looks

    assert run_virtually(story()) == [0.0, 1.0, 2.0]


def test_a_wait_that_became_longer_costs_one_look_too_many() -> None:
    """The sleeping task is left alone."""

    async def story() -> list[float]:
        looking = Looking(2.0, 5.0, 4.0)
        looking.alarm.ring()
        await asyncio.sleep(1.0)
        looking.alarm.ring()
        await asyncio.sleep(20.0)
        return looking.looks

    assert run_virtually(story()) == [0.0, 1.0, 2.0, 6.0]


def test_a_look_that_failed_does_not_end_the_looking() -> None:
    """The next ring looks again."""

    async def story() -> list[float]:
        looking = Looking(1.0)
        looking.alarm.ring()
        await asyncio.sleep(0.5)
        looking.alarm._look = lambda: 1 / 0
        await asyncio.sleep(1.0)
        with pytest.raises(ZeroDivisionError):
            looking.alarm._task.result()  # type: ignore[union-attr]
        looking.alarm._look = looking.look
        looking.waits = [1.0]
        looking.alarm.ring()
        await asyncio.sleep(5.0)
        return looking.looks

    assert run_virtually(story()) == [0.0, 1.5, 2.5]


def test_a_stopped_alarm_looks_no_more() -> None:
    """Whether due or rung; a second stop does nothing."""

    async def story() -> list[float]:
        looking = Looking(1.0, 1.0, 1.0)
        looking.alarm.ring()
        await asyncio.sleep(1.5)
        looking.alarm.ring()
        await looking.alarm.stop()
        await looking.alarm.stop()
        looking.alarm.ring()
        await asyncio.sleep(5.0)
        return looking.looks

    assert run_virtually(story()) == [0.0, 1.0]
