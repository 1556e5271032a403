"""What a person sees of the quotas: limits, who holds how many partitions until when, what each worker last said.

Called by the command line; it only reads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from assay.quota.deployments import Cut, DeploymentQuota, partitions_prefix, read_quota
from assay.quota.leases import LEASE_SECONDS, RENEWAL_SECONDS
from assay.quota.tickets import HELD_STATES, Board, Ticket, board
from assay.storage.base import Storage
from assay.storage.layout import QUOTA

_CONFIG = "/config.json"


@dataclass(frozen=True, slots=True)
class Holder:
    """A worker with demand. Its leases end at `until` at the latest, unless it renews them; None without any."""

    worker: str
    holds: int
    wants: int
    until: datetime | None
    said_at: datetime
    facts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class QuotaState:
    """One deployment. `in_force` are the limits and partitions that hold now; `asked_for` partitions are on their way.

    `held` counts leased partitions, also those of workers that said nothing yet.
    """

    deployment: str
    config: DeploymentQuota
    in_force: Cut
    held: int
    asked_for: int
    holders: tuple[Holder, ...]


async def quota_states(storage: Storage, now: datetime) -> list[QuotaState]:
    """Every deployment that has a quota, by name. Raises StorageError."""
    paths = [entry.path async for entry in storage.list(f"{QUOTA}/") if entry.path.endswith(_CONFIG)]
    names = [path.removeprefix(f"{QUOTA}/").removesuffix(_CONFIG) for path in paths]
    states = [await quota_state(storage, name, now) for name in names]
    return [state for state in states if state is not None]


async def quota_state(storage: Storage, deployment: str, now: datetime) -> QuotaState | None:
    """One deployment's state; None when it has no quota. Raises StorageError."""
    config = await read_quota(storage, deployment)
    if config is None:
        return None
    in_force = config.before if config.before is not None and config.is_pending(now) else config
    prefix = partitions_prefix(deployment, in_force.cut)
    entries = [entry async for entry in storage.list(f"{prefix}/")]
    seen = board(prefix, entries, max([now.timestamp(), *(entry.modified.timestamp() for entry in entries)]))
    leases = [state for index, state in seen.states.items() if index < in_force.partitions]
    return QuotaState(
        deployment,
        config,
        in_force,
        held=sum(state in HELD_STATES for state in leases),
        asked_for=leases.count("breaking"),
        holders=tuple(sorted((_holder(ticket, seen) for ticket in seen.tickets), key=lambda each: each.worker)),
    )


def _holder(ticket: Ticket, seen: Board) -> Holder:
    # A lease ends so long after the turn at which it is renewed next.
    rest = timedelta(seconds=LEASE_SECONDS - RENEWAL_SECONDS)
    turns = [at for _, at in ticket.turns_from(seen.now)]
    return Holder(
        ticket.worker,
        holds=len(ticket.held),
        wants=ticket.wants,
        until=_time(max(turns)) + rest if turns else None,
        said_at=_time(ticket.said_at),
        facts=ticket.facts,
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)
