"""Who else wants a deployment's quota: a small blob per worker that says how many partitions it holds.

Used by `sharing.py`. Tickets steer only how fairly and quickly partitions change hands, never how much is sent.
"""

from dataclasses import dataclass
from datetime import timedelta

from assay.storage.base import BlobEntry, Storage

# A worker writes its ticket every 22 seconds (RENEWAL_SECONDS); one that missed its turn is gone or has no demand.
TICKET_SECONDS = 35.0


@dataclass(frozen=True, slots=True)
class Ticket:
    """A worker with demand and the number of partitions it last said to hold."""

    worker: str
    held: int


class Tickets:
    """The tickets of one deployment, seen from one worker."""

    def __init__(self, storage: Storage, prefix: str, worker: str) -> None:
        self._storage = storage
        self._prefix = f"{prefix}/w/"
        self._worker = worker

    async def post(self, held: int) -> None:
        """Says that this worker has demand and holds so many partitions; replaces what it said before."""
        await self._storage.write(f"{self._prefix}{self._worker}", b"", metadata={"held": str(held)}, overwrite=True)

    async def others(self) -> list[Ticket]:
        """The fresh tickets of other workers.

        Freshness is the distance to the newest ticket, so both times are the storage's. Post first: then the newest
        one is hardly older than now.
        """
        entries = [entry async for entry in self._storage.list(self._prefix)]
        newest = max((entry.modified for entry in entries), default=None)
        if newest is None:
            return []
        oldest = newest - timedelta(seconds=TICKET_SECONDS)
        tickets = [self._read(entry) for entry in entries if entry.modified >= oldest]
        return [ticket for ticket in tickets if ticket.worker != self._worker]

    async def withdraw(self) -> None:
        """Says that this worker has no demand; a second call does nothing."""
        await self._storage.delete(f"{self._prefix}{self._worker}")

    def _read(self, entry: BlobEntry) -> Ticket:
        held = entry.metadata.get("held", "")
        return Ticket(entry.path.removeprefix(self._prefix), int(held) if held.isdecimal() else 0)
