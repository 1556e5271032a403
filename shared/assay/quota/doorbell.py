"""Asks other workers for partitions: breaks a lease of somebody with a surplus, who hears of it when it renews.

Used by `sharing.py`. A holder renews one of its partitions every few seconds and its ticket tells which one when, so it
is asked by breaking the lease that it renews next; it then looks for itself how much it has to give.
"""

from collections.abc import Sequence
from math import inf

from assay.quota.leases import GUARD_SECONDS, LEASE_SECONDS, PartitionLeases
from assay.quota.shares import Claim, deal, fair_level
from assay.quota.tickets import Board, Ticket

# After its renewal a holder looks, cools down and releases; then it is worth looking.
ANSWER_SECONDS = GUARD_SECONDS + 0.3

# A lease that is renewed sooner may be renewed before it is broken, and then not again for a whole turn.
TOO_SOON_SECONDS = 0.8
_JUST_RENEWED_SECONDS = 3.0

# A holder that did not answer by then was asked too late, or is dead.
OVERDUE_SECONDS = 2.0


class Doorbell:
    """What one worker asked others for, and when it may expect to get it."""

    def __init__(self, leases: PartitionLeases, worker: str) -> None:
        self._leases = leases
        self._worker = worker
        self._answers_at: dict[int, float] = {}

    @property
    def asked(self) -> set[int]:
        """The partitions that were asked for."""
        return set(self._answers_at)

    def next_answer(self, now: float) -> float:
        """When to look for what was asked for; infinite when nothing is expected any more."""
        return min((at for at in self._answers_at.values() if at > now), default=inf)

    async def ask_for_share(self, board: Board, mine: Claim, now: float) -> bool:
        """Rings at the holders that a fair deal assigns to this worker, if it was not promised enough before.

        Says whether it rang: then look again soon, for others may have asked the same holders in the same moment.
        Raises StorageError.
        """
        self._forget(board, now)
        others = board.others(self._worker)
        level = fair_level(self._leases.count, [mine, *map(claim, others)])
        asks = {each.worker: set(each.asks) & set(board.breaking()) for each in others} | {self._worker: self.asked}
        lacking = {each.worker: min(each.wants, level) - len(each.held) for each in others}
        lacking[self._worker] = min(mine.wants, level) - mine.held
        surplus = []
        for holder in _by_turn(others, board):
            number = max(0, len(holder.held) - min(holder.wants, level))
            promised = [worker for worker in sorted(asks) if not asks[worker].isdisjoint(holder.held)][:number]
            surplus.append((holder.worker, number - len(promised)))
            for worker in promised:
                lacking[worker] -= 1
        holders = deal(surplus, lacking)[self._worker]
        await self.ask([ticket for ticket in others if ticket.worker in holders], board, now)
        return bool(holders)

    async def ask(self, holders: Sequence[Ticket], board: Board, now: float) -> None:
        """Rings at each of these. Raises StorageError."""
        for holder in holders:
            await self._ask_one(holder, board, now)

    async def _ask_one(self, holder: Ticket, board: Board, now: float) -> None:
        """Rings once, or once more if the first lease turns out to be renewed already."""
        for index, at in _turns(holder, board)[:2]:
            self._answers_at[index] = now + max(0.0, at - board.now) + ANSWER_SECONDS
            if board.states.get(index) == "breaking":
                break
            since_renewal = LEASE_SECONDS - await self._leases.ring(index)
            if since_renewal > _JUST_RENEWED_SECONDS:
                break

    def _forget(self, board: Board, now: float) -> None:
        """What was given to somebody, and what should have been answered: others are asked instead."""
        breaking = set(board.breaking())
        late = now - OVERDUE_SECONDS
        self._answers_at = {index: at for index, at in self._answers_at.items() if index in breaking and at > late}


def claim(ticket: Ticket) -> Claim:
    return Claim(len(ticket.held), ticket.wants)


def _by_turn(tickets: Sequence[Ticket], board: Board) -> list[Ticket]:
    """Those who hold something, whoever renews next first."""
    return sorted((each for each in tickets if each.held), key=lambda each: _turns(each, board)[0][1])


def _turns(ticket: Ticket, board: Board) -> list[tuple[int, float]]:
    """Which partitions it renews next, and when by storage's time; ones that somebody broke already go first."""
    turns = ticket.turns_from(board.now - TOO_SOON_SECONDS)
    broken = [turn for turn in turns if board.states.get(turn[0]) == "breaking"]
    return broken or ticket.turns_from(board.now + TOO_SOON_SECONDS)
