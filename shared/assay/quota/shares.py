"""The arithmetic of sharing: how many partitions a quota has, and how many of them one worker should hold.

Pure; used by `sharing.py` and `limiter.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from assay.quota.base import Quota
from assay.quota.tickets import Ticket

FEWEST_PARTITIONS, MOST_PARTITIONS = 4, 64
MEAN_CHARGE_TOKENS = 1000


def partition_count(quota: Quota, mean_charge_tokens: int = MEAN_CHARGE_TOKENS) -> int:
    """One partition for a little more than one request per second, within 4 and 64."""
    requests_per_second = min(quota.requests_per_minute, quota.tokens_per_minute / mean_charge_tokens) / 60
    return min(max(int(0.9 * requests_per_second), FEWEST_PARTITIONS), MOST_PARTITIONS)


@dataclass(frozen=True, slots=True)
class FairShare:
    """What one of several workers should hold: at least `due`, up to `take_to`; it gives back down to `keep`.

    `free` is how many partitions nobody claims.
    """

    due: int
    take_to: int
    keep: int
    free: int


def fair_share(partitions: int, held: int, others: Sequence[Ticket]) -> FairShare:
    """The fair share of a worker that holds `held`, when `others` have demand too.

    Partitions that do not divide evenly go to whoever comes first, unless that leaves another worker below its
    due: then the surplus is given back, and not taken by anybody who has its due.
    """
    workers = len(others) + 1
    due = max(1, partitions // workers)
    at_most = -(-partitions // workers)
    somebody_is_short = any(other.held < due for other in others)
    free = partitions - held - sum(other.held for other in others)
    if somebody_is_short:
        return FairShare(due, take_to=due, keep=due, free=max(0, free))
    return FairShare(due, take_to=at_most, keep=max(held, at_most), free=max(0, free))
