"""A saturated quota, scored from the log of a modelled service: how much is used, refused, and sent in any window."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from virtual_service import LARGE_QUOTA, SMALL_QUOTA, Load, VirtualService, chat, saturated, score, short

from assay.quota.base import Quota
from virtual_loop import run_virtually

MIDDLE_QUOTA = Quota(2_000, 400_000)
MEAN = {chat: 1000, short: 80}


@pytest.mark.parametrize(
    ("quota", "load", "workers", "seconds", "least_used"),
    [
        (SMALL_QUOTA, chat, 1, 600.0, 0.975),
        (SMALL_QUOTA, chat, 4, 600.0, 0.965),
        (SMALL_QUOTA, chat, 16, 600.0, 0.965),
        (SMALL_QUOTA, short, 1, 240.0, 0.975),
        (SMALL_QUOTA, short, 4, 240.0, 0.97),
        (SMALL_QUOTA, short, 16, 240.0, 0.97),
        (LARGE_QUOTA, chat, 1, 120.0, 0.985),
        (LARGE_QUOTA, chat, 16, 120.0, 0.985),
        (MIDDLE_QUOTA, short, 4, 120.0, 0.975),
    ],
)
def test_a_saturated_quota_is_used_to_the_last_percents_and_hardly_ever_refused(
    quota: Quota, load: Load, workers: int, seconds: float, least_used: float
) -> None:
    """Whoever shares it and whichever axis binds; a small quota leaves parts of charges unused."""
    log = run_virtually(saturated(quota, workers, load, seconds=seconds, mean_charge_tokens=MEAN[load]))
    scored = score(log, quota, seconds)
    assert scored.used >= least_used
    assert scored.refused <= 0.003
    assert scored.worst_10_seconds <= 1.02
    assert scored.worst_60_seconds <= 1.015


@pytest.mark.parametrize(
    ("is_told", "least_used", "most_refused"), [(True, 0.93, 0.005), (False, 0.90, 0.010)], ids=["told", "untold"]
)
@pytest.mark.parametrize(("workers", "quota"), [(8, MIDDLE_QUOTA), (1, SMALL_QUOTA)], ids=["shared", "small"])
def test_a_cut_of_the_quota_is_followed(
    is_told: bool, least_used: float, most_refused: float, workers: int, quota: Quota
) -> None:
    """To 60 percent for two minutes of ten, with headers that tell of it and without; scored by what was available."""

    async def events(service: VirtualService) -> None:
        service.tells_limits = is_told
        await asyncio.sleep(240.0)
        service.cut(0.6)
        await asyncio.sleep(120.0)
        service.cut(1.0)

    log = run_virtually(saturated(quota, workers, chat, seconds=600.0, events=events))
    scored = score(log, quota, 600.0)
    available = (540.0 - 0.4 * 120.0) / 540.0
    assert scored.used / available >= least_used
    assert scored.refused <= most_refused


def test_a_service_that_judges_requests_by_the_second_is_paced_by_the_second() -> None:
    """The option of the limiter keeps what one second may hold; a second of a large quota holds many requests."""
    log = run_virtually(
        saturated(
            replace(LARGE_QUOTA, request_window_seconds=1.0),
            4,
            short,
            seconds=80.0,
            service_window_seconds=1.0,
            mean_charge_tokens=80,
        )
    )
    scored = score(log, LARGE_QUOTA, 80.0, window_seconds=1.0)
    assert scored.refused <= 0.002
    assert scored.used >= 0.90


def test_the_same_seed_gives_the_same_log() -> None:
    """So that a figure that was seen once can be looked at again."""

    def log() -> list[Any]:
        return run_virtually(saturated(SMALL_QUOTA, 2, chat, seconds=90.0, seed=7))

    assert log() == log()
