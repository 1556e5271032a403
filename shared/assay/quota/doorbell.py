"""Asks other workers for partitions: breaks a lease of somebody with a surplus, who hears of it when it renews.

Used by `sharing.py`. A holder renews one of its partitions every few seconds and its ticket tells which one when, so it
is asked by breaking the lease that it renews next; it then looks for itself how much it has to give.
"""

from collections.abc import Iterable, Sequence
from math import inf

from assay.quota.leases import GUARD_SECONDS, LEASE_SECONDS, PartitionLeases
from assay.quota.shares import Claim, deal, fair_level
from assay.quota.tickets import Board, Ticket

# After its renewal a holder looks, cools down and releases; then it is worth looking.
ANSWER_SECONDS = GUARD_SECONDS + 0.3

# A lease that is renewed sooner may be renewed before it is broken, and then not again for a whole turn.
TOO_SOON_SECONDS = 0.8
_JUST_RENEWED_SECONDS = 3.0


class Doorbell:
    """What one worker asked others for, and when it may expect to get it."""

    def __init__(self, leases: PartitionLeases, worker: str) -> None:
        self._leases = leases
        self._worker = worker
        self._answers_at: list[float] = []
        self.asked: set[int] = set()

    def next_answer(self, now: float) -> float:
        """When to look for what was asked for; infinite when nothing is expected any more."""
        self._answers_at = [at for at in self._answers_at if at > now]
        return min(self._answers_at, default=inf)

    async def ask_for_share(self, board: Board, mine: Claim, now: float) -> None:
        """Rings at the holders that a fair deal assigns to this worker. Raises StorageError."""
        others = board.others(self._worker)
        level = fair_level(self._leases.count, [mine, *map(claim, others)])
        asks = {each.worker: set(each.asks) & set(board.breaking()) for each in others}  # they asked before us
        lacking = {each.worker: min(each.wants, level) - len(each.held) - len(asks[each.worker]) for each in others}
        lacking[self._worker] = min(mine.wants, level) - mine.held
        surplus = [
            (each.worker, len(each.held) - min(each.wants, level) - _times_asked(each, asks.values()))
            for each in _by_turn(others, board)
        ]
        holders = deal(surplus, lacking)[self._worker]
        await self.ask([ticket for ticket in others if ticket.worker in holders], board, now)

    async def ask(self, holders: Sequence[Ticket], board: Board, now: float) -> None:
        """Rings at each of these. Raises StorageError."""
        self.asked, self._answers_at = set(), []
        for holder in holders:
            seconds = await self._ask_one(holder, board)
            self._answers_at.append(now + seconds + ANSWER_SECONDS)

    async def _ask_one(self, holder: Ticket, board: Board) -> float:
        """Rings once, or once more if the first lease turns out to be renewed already; returns when that is heard."""
        seconds = 0.0
        for index, at in _turns(holder, board)[:2]:
            self.asked.add(index)
            seconds = max(0.0, at - board.now)
            if board.states.get(index) == "breaking":
                break
            since_renewal = LEASE_SECONDS - await self._leases.ring(index)
            if since_renewal > _JUST_RENEWED_SECONDS:
                break
        return seconds


def claim(ticket: Ticket) -> Claim:
    return Claim(len(ticket.held), ticket.wants)


def _times_asked(ticket: Ticket, asks: Iterable[set[int]]) -> int:
    """How many workers asked for something of what this one holds."""
    return sum(not asked.isdisjoint(ticket.held) for asked in asks)


def _by_turn(tickets: Sequence[Ticket], board: Board) -> list[Ticket]:
    """Those who hold something, whoever renews next first."""
    return sorted((each for each in tickets if each.held), key=lambda each: _turns(each, board)[0][1])


def _turns(ticket: Ticket, board: Board) -> list[tuple[int, float]]:
    """Which partitions it renews next, and when by storage's time; ones that somebody broke already go first."""
    turns = ticket.turns_from(board.now - TOO_SOON_SECONDS)
    broken = [turn for turn in turns if board.states.get(turn[0]) == "breaking"]
    return broken or ticket.turns_from(board.now + TOO_SOON_SECONDS)
