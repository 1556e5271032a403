"""What the command line chose for all measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Options:
    """`is_full`: the lengths and repeats of the design page; else what fits into half an hour together."""

    quotas: Sequence[str]
    workers: Sequence[int]
    seconds: float
    baselines: Sequence[str]
    is_full: bool = False
