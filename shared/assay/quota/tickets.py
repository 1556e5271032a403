"""Who shares a deployment's quota: a small blob per worker that says what it holds, wants and does.

Used by `sharing.py` and `state.py`. Tickets steer only how fairly and quickly partitions change hands, never how much
is sent. All times are the storage's own: no two machines need agree on the time.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import ceil, isfinite

from assay.quota.leases import RENEWAL_SECONDS
from assay.storage.base import BlobEntry, LeaseState, Storage

# A worker that holds nothing writes its ticket this often while it wants something; one that missed two turns is gone.
WAITING_TICKET_SECONDS = 15.0
TICKET_SECONDS = 35.0

HELD_STATES: frozenset[LeaseState] = frozenset({"leased", "breaking"})

# Storage tells its time in whole seconds, cut off.
_HALF_A_SECOND = 0.5

_FACT = "fact_"


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a worker last said. `said_at` is storage's time in seconds; `turns` are its partitions in renewal order.

    The first of them is renewed `turn_seconds` later, the others follow in equal steps. `held` are those that are
    leased still; `asks` are those of others whose leases it broke. Nobody may take its partitions over before
    `debt_seconds` after it said so.
    """

    worker: str
    said_at: float
    turns: tuple[int, ...] = ()
    held: tuple[int, ...] = ()
    asks: tuple[int, ...] = ()
    wants: int = 1
    turn_seconds: float = 0.0
    debt_seconds: float = 0.0
    facts: Mapping[str, str] = field(default_factory=dict)

    def turns_from(self, now: float) -> list[tuple[int, float]]:
        """Its partitions in the order in which it renews their leases from `now` on, and when."""
        step = RENEWAL_SECONDS / max(1, len(self.turns))
        first = max(0, ceil((now - self.said_at - self.turn_seconds) / step))
        numbers = range(first, first + len(self.turns))
        turns = [(self.turns[number % len(self.turns)], number) for number in numbers]
        begin = self.said_at + self.turn_seconds
        return [(index, begin + number * step) for index, number in turns if index in self.held]


@dataclass(frozen=True, slots=True)
class Board:
    """Everything one listing tells: the states of the leases, and the tickets of workers that are alive."""

    states: Mapping[int, LeaseState]
    tickets: tuple[Ticket, ...]
    now: float
    unpaid_until: Mapping[int, float]
    dying: bool = False
    """A worker lost one lease by its end and still has others: it is dead, and those will end soon."""

    def others(self, worker: str) -> list[Ticket]:
        return [ticket for ticket in self.tickets if ticket.worker != worker]

    def free(self, count: int) -> list[int]:
        """Partitions that may be taken: nobody has them, and what their last owner owed is earned."""
        return [index for index in range(count) if self._is_free(index)]

    def breaking(self) -> list[int]:
        return [index for index, state in self.states.items() if state == "breaking"]

    def _is_free(self, index: int) -> bool:
        state = self.states.get(index, "available")
        return state not in HELD_STATES and (state == "available" or self.unpaid_until.get(index, 0.0) <= self.now)


class Tickets:
    """The tickets of one deployment, seen from one worker. `facts` are added to what it says of itself."""

    def __init__(
        self,
        storage: Storage,
        prefix: str,
        worker: str,
        clock: Callable[[], float],
        facts: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._storage = storage
        self._prefix = prefix
        self.worker = worker
        self._clock = clock
        self._facts = facts
        self._said: Ticket | None = None
        self._said_at = 0.0
        self._offset: float | None = None

    def use(self, prefix: str) -> None:
        """From now on the tickets are there. Withdraw first."""
        self._prefix, self._said = prefix, None

    @property
    def said(self) -> Ticket | None:
        """What this worker last said, unless it withdrew it."""
        return self._said

    @property
    def seconds_since_said(self) -> float:
        return self._clock() - self._said_at

    async def post(self, ticket: Ticket) -> None:
        """Says so of this worker; replaces what it said before."""
        before = self._clock()
        ticket = replace(ticket, facts=dict(self._facts()))
        await self._storage.write(self._path, b"", metadata=_written(ticket), overwrite=True)
        self._said, self._said_at = ticket, (before + self._clock()) / 2

    async def look(self) -> Board:
        """One listing. Post first: then storage's time is known, and freshness is exact."""
        board_at = self._clock()
        entries = [entry async for entry in self._storage.list(f"{self._prefix}/")]
        self._learn_time(entries)
        newest = max((entry.modified.timestamp() for entry in entries), default=0.0)
        now = newest if self._offset is None else max(newest, board_at + self._offset)
        return board(self._prefix, entries, now)

    def storage_seconds(self, at: float) -> float | None:
        """Storage's time at this time of our clock; None before it is known."""
        return None if self._offset is None else at + self._offset

    async def withdraw(self) -> None:
        """Says that this worker has no demand; a second call does nothing."""
        self._said = None
        await self._storage.delete(self._path)

    def _learn_time(self, entries: Iterable[BlobEntry]) -> None:
        mine = next((entry for entry in entries if entry.path == self._path), None)
        if self._said is not None and mine is not None:
            self._offset = mine.modified.timestamp() + _HALF_A_SECOND - self._said_at

    @property
    def _path(self) -> str:
        return f"{self._prefix}/w/{self.worker}"


def board(prefix: str, entries: Iterable[BlobEntry], now: float) -> Board:
    """Reads a listing of everything below `prefix`, at `now` by storage's time."""
    states, said = _sorted(prefix, entries)
    owners = {index: ticket for ticket in sorted(said, key=lambda each: each.said_at) for index in ticket.turns}
    tickets = [_confirmed(ticket, owners, states) for ticket in said]
    unpaid = {index: ticket.said_at + ticket.debt_seconds for index, ticket in owners.items() if ticket.debt_seconds}
    alive = tuple(each for each in tickets if each.held or each.said_at >= now - TICKET_SECONDS)
    dying = any(ticket.held and _lost_one(ticket, owners, states) for ticket in tickets)
    return Board(states, alive, now, unpaid, dying)


def _sorted(prefix: str, entries: Iterable[BlobEntry]) -> tuple[dict[int, LeaseState], list[Ticket]]:
    """The partitions' leases and the workers' tickets of a listing."""
    states: dict[int, LeaseState] = {}
    said: list[Ticket] = []
    for entry in entries:
        kind, _, name = entry.path.removeprefix(f"{prefix}/").partition("/")
        if kind == "p" and name.isdecimal():
            states[int(name)] = entry.lease
        elif kind == "w":
            said.append(_read(name, entry))
    return states, said


def _confirmed(ticket: Ticket, owners: Mapping[int, Ticket], states: Mapping[int, LeaseState]) -> Ticket:
    """The ticket with those of its partitions that are leased and that nobody claimed later."""
    held = [index for index in ticket.turns if owners[index] is ticket and states.get(index) in HELD_STATES]
    return replace(ticket, held=tuple(held))


def _lost_one(ticket: Ticket, owners: Mapping[int, Ticket], states: Mapping[int, LeaseState]) -> bool:
    return any(owners[index].worker == ticket.worker and states.get(index) == "expired" for index in ticket.turns)


def _written(ticket: Ticket) -> dict[str, str]:
    metadata = {
        "holds": _joined(ticket.turns),
        "asks": _joined(ticket.asks),
        "wants": str(ticket.wants),
        "turn_seconds": f"{ticket.turn_seconds:.2f}",
        "debt_seconds": f"{ticket.debt_seconds:.1f}",
    }
    return metadata | {f"{_FACT}{name}": value for name, value in ticket.facts.items()}


def _read(worker: str, entry: BlobEntry) -> Ticket:
    """Whatever cannot be read counts as not said."""
    metadata = entry.metadata
    return Ticket(
        worker,
        entry.modified.timestamp() + _HALF_A_SECOND,
        turns=_indices(metadata.get("holds", "")),
        asks=_indices(metadata.get("asks", "")),
        wants=max(1, int(_number(metadata.get("wants", "")))),
        turn_seconds=_number(metadata.get("turn_seconds", "")),
        debt_seconds=_number(metadata.get("debt_seconds", "")),
        facts={name.removeprefix(_FACT): value for name, value in metadata.items() if name.startswith(_FACT)},
    )


def _joined(indices: Iterable[int]) -> str:
    return ",".join(map(str, indices)) or "none"


def _indices(text: str) -> tuple[int, ...]:
    return tuple(int(index) for index in text.split(",") if index.isdecimal())


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return max(0.0, number) if isfinite(number) else 0.0
