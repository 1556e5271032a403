"""What the command line chose for all measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Options:
    """`is_full`: the lengths and repeats of the design page, else shorter ones. `told`: which cuts of a quota to play,
    those that the headers tell and those that they do not.
    """

    quotas: Sequence[str]
    workers: Sequence[int]
    seconds: float
    baselines: Sequence[str]
    limiters: Sequence[str] = ("blob_lease",)
    told: Sequence[bool] = (True, False)
    is_full: bool = False
    seconds_chosen: bool = False
    workers_chosen: bool = False
