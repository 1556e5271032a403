"""The arithmetic of sharing: how many partitions there are, how many one worker should hold, whom it asks for them.

Pure; used by `sharing.py` and `deployments.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from assay.quota.base import Quota

FEWEST_PARTITIONS, MOST_PARTITIONS = 4, 64
MEAN_CHARGE_TOKENS = 1000

# Renewals cost most: with a lease renewed each 22 seconds this many per second keep them at 0.034 of a request.
_PARTITIONS_PER_REQUEST_PER_SECOND = 0.75

# A partition worth less is paced so coarsely that the service refuses some of what fits in the sum.
_FEWEST_CHARGES_PER_MINUTE = 12


def partition_count(quota: Quota, mean_charge_tokens: int = MEAN_CHARGE_TOKENS) -> int:
    """One partition for 1.3 requests per second, within 4 and 64; fewer where one would be worth under 12 a minute."""
    per_minute = min(quota.requests_per_minute, quota.tokens_per_minute / mean_charge_tokens)
    wanted = int(_PARTITIONS_PER_REQUEST_PER_SECOND * per_minute / 60)
    worth_having = max(1, int(per_minute / _FEWEST_CHARGES_PER_MINUTE))
    return min(max(wanted, FEWEST_PARTITIONS), MOST_PARTITIONS, worth_having)


@dataclass(frozen=True, slots=True)
class Claim:
    """How many partitions a worker holds, and how many it could use."""

    held: int
    wants: int


@dataclass(frozen=True, slots=True)
class FairShare:
    """What one of several workers should hold: at least `due`, up to `take_to`; it gives back down to `keep`.

    `is_contested`: somebody holds less than its due.
    """

    due: int
    take_to: int
    keep: int
    is_contested: bool


def fair_share(partitions: int, mine: Claim, others: Sequence[Claim]) -> FairShare:
    """The max-min fair share: nobody gets more than it wants while another who wants more has less.

    Partitions that do not divide evenly go to whoever comes first, unless that leaves another worker below its
    due: then what is above the share is given back, and not taken by anybody who has its due.
    """
    claims = [mine, *others]
    level = fair_level(partitions, claims)
    spare = partitions - sum(min(claim.wants, level) for claim in claims)
    ceiling = level + 1 if spare > 0 else level
    due = min(mine.wants, level)
    at_most = max(1, min(mine.wants, ceiling))
    lacking = sum(_lack(claim, level) for claim in others)
    if not lacking:
        return FairShare(due, take_to=at_most, keep=max(mine.held, at_most), is_contested=False)
    free = partitions - sum(claim.held for claim in claims)
    above = sum(max(0, claim.held - min(claim.wants, ceiling)) for claim in claims)
    keep = at_most if level == 0 or above + max(0, free) >= lacking else due
    return FairShare(due, take_to=max(1, due), keep=keep, is_contested=True)


def fair_level(partitions: int, claims: Sequence[Claim]) -> int:
    """The most that everybody who wants so much can have; 0 when there are more workers than partitions."""
    left, waiting = partitions, sorted(claim.wants for claim in claims)
    for index, wants in enumerate(waiting):
        if wants * (len(waiting) - index) > left:
            return left // (len(waiting) - index)
        left -= wants
    return max(waiting, default=0)


def _lack(claim: Claim, level: int) -> int:
    """How far below its due a worker is; one of too many is due a partition all the same."""
    return max(0, min(claim.wants, max(1, level)) - claim.held)


def deal(surplus: Sequence[tuple[str, int]], lacking: Mapping[str, int]) -> dict[str, set[str]]:
    """Who asks whom: the workers that lack something take turns, by name, along the holders in the order given.

    Everybody who looks at the same tickets deals alike, so that two do not ask the same holder without need.
    """
    asked: dict[str, set[str]] = {worker: set() for worker in lacking}
    left = dict(sorted(lacking.items()))
    for holder, number in surplus:
        for _ in range(number):
            worker = next((each for each, lack in left.items() if lack > 0), None)
            if worker is None:
                return asked
            asked[worker].add(holder)
            lack = left.pop(worker)
            left[worker] = lack - 1  # to the end: the others come first
    return asked
