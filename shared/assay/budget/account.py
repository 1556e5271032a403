"""The account of a run's budget: one blob, `runs/<run>/budget.json`, that all its workers change by compare-and-swap.

Every entry of a worker is absolute, so a change that was made and not answered is harmless. `tranches.py` draws on it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from pydantic import Field, ValidationError

from assay.errors import BlobChanged, BlobExists, BlobMissing, RunStopped
from assay.records import NO_COST, Outcome, Record
from assay.run_records import BudgetMode, Tally
from assay.storage import layout
from assay.storage.base import Blobs

SHARED_OUT = 3
"""Nobody draws more than a third of its even share of what is left, so that the end of a budget is not stranded."""

TRIES = 50
_NANO_USD = Decimal("1e-9")


class AccountSpoilt(RunStopped):
    """The blob is no account, so nobody knows what may still be spent: nothing is. A person has to look at it."""


class Holding(Record):
    """What one worker may spend in all, what it has spent of that, and the most it had reserved at one time.

    `waiting_usd` is what its requests wait for that it could not draw. `turn` grows with each word of a worker that
    has requests under way, so that others see it live.
    """

    granted_usd: Decimal = NO_COST
    settled_usd: Decimal = NO_COST
    peak_usd: Decimal = NO_COST
    waiting_usd: Decimal = NO_COST
    turn: int = 0

    @property
    def counted_usd(self) -> Decimal:
        """What nobody else may spend."""
        return max(self.granted_usd, self.settled_usd)


class Account(Record):
    """A run's budget. `before_usd` was spent outside the holdings, which are of workers that live or have died."""

    limit_usd: Decimal
    mode: BudgetMode = "enforce"
    before_usd: Decimal = NO_COST
    holdings: dict[str, Holding] = Field(default_factory=dict)

    @property
    def spent_usd(self) -> Decimal:
        """What is known to be spent."""
        return self.before_usd + sum((one.settled_usd for one in self.holdings.values()), NO_COST)

    @property
    def counted_usd(self) -> Decimal:
        """What is spent or held; never more than the limit, as long as no request costs more than was reserved."""
        return self.before_usd + sum((one.counted_usd for one in self.holdings.values()), NO_COST)

    def sharers(self, worker: str) -> int:
        """How many workers hold money or wait for some, `worker` counted in any case."""
        others = (one for name, one in self.holdings.items() if name != worker)
        return 1 + sum(one.granted_usd > one.settled_usd or one.waiting_usd > 0 for one in others)

    def held_by_others(self, worker: str) -> dict[str, Holding]:
        """The holdings whose money may still be spent or given back."""
        held = ((name, one) for name, one in self.holdings.items() if one.granted_usd > one.settled_usd)
        return {name: one for name, one in held if name != worker}

    def has_others_waiting(self, worker: str) -> bool:
        return any(name != worker and one.waiting_usd > 0 for name, one in self.holdings.items())


@dataclass(frozen=True, slots=True)
class Need:
    """What a worker says of itself when it draws. Less than `smallest_usd` would be of no use to it.

    `wanted_usd` includes `waiting_usd`, what its requests wait for now.
    """

    settled_usd: Decimal
    reserved_usd: Decimal
    peak_usd: Decimal
    smallest_usd: Decimal = NO_COST
    wanted_usd: Decimal = NO_COST
    waiting_usd: Decimal = NO_COST
    turn: int = 0


def redrawn(account: Account, worker: str, need: Need) -> Account:
    """The account after one worker has reported, given back what it does not want, and drawn what it may.

    It keeps what it has reserved. Where less than its smallest need is to be had it keeps nothing more, so that the
    remnants of all workers come together again.
    """
    used = need.settled_usd + need.reserved_usd
    before = account.holdings.get(worker, Holding())
    room = account.limit_usd - (account.counted_usd - before.counted_usd) - used
    free = NO_COST
    if room >= need.smallest_usd:
        tranche = min(need.wanted_usd, room / (SHARED_OUT * account.sharers(worker)))
        free = max(need.smallest_usd, tranche.quantize(_NANO_USD, ROUND_DOWN))
    after = Holding(
        granted_usd=used + free,
        settled_usd=need.settled_usd,
        peak_usd=need.peak_usd,
        waiting_usd=max(NO_COST, need.waiting_usd - free),
        turn=need.turn,
    )
    return account.model_copy(update={"holdings": account.holdings | {worker: after}})


def let_go(account: Account, recorded_usd: Decimal, answers_per_trial: int) -> Account:
    """The account once nobody can spend any more of what its workers held and never gave back.

    Spent is what they settled, or what the outcomes recorded if that is more; and of each holding as much as the
    requests can have cost that a dead worker had under way, whose trials have no outcome. The rest is free again.
    """
    lost = (
        min(one.counted_usd - one.settled_usd, one.peak_usd * answers_per_trial) for one in account.holdings.values()
    )
    spent = max(recorded_usd, min(account.counted_usd, max(account.spent_usd, recorded_usd) + sum(lost, NO_COST)))
    ended = {
        name: one.model_copy(update={"granted_usd": one.settled_usd, "waiting_usd": NO_COST})
        for name, one in account.holdings.items()
    }
    before = account.before_usd + spent - account.spent_usd
    return account.model_copy(update={"before_usd": max(account.before_usd, before), "holdings": ended})


async def read_account(blobs: Blobs, run: str) -> Account | None:
    """The account as it stands, or None when nobody has drawn on it yet. Raises AccountSpoilt."""
    try:
        return _account(run, await blobs.read(layout.budget(run)))
    except BlobMissing:
        return None


async def open_account(blobs: Blobs, run: str, limit_usd: Decimal, mode: BudgetMode) -> None:
    """Makes the account of a run unless it is there; what the run has spent before counts."""
    account = Account(limit_usd=limit_usd, mode=mode, before_usd=await recorded_usd(blobs, run))
    try:
        await blobs.write(layout.budget(run), account.model_dump_json().encode())
    except BlobExists:
        return


async def change_account(blobs: Blobs, run: str, change: Callable[[Account], Account]) -> Account:
    """The account after `change`, which is applied to the newest version and called again when another came between.

    Raises BlobMissing when there is no account, BlobChanged when others were first every time, AccountSpoilt.
    """
    for tries_left in reversed(range(TRIES)):
        entry, content = await blobs.read_version(layout.budget(run))
        account = _account(run, content)
        changed = change(account)
        if changed == account:
            break
        try:
            await blobs.replace(layout.budget(run), changed.model_dump_json().encode(), etag=entry.etag)
            break
        except BlobChanged:
            if not tries_left:
                raise
    return changed


async def quiet_seconds(blobs: Blobs, run: str) -> float:
    """How long nobody has changed the account, by storage's own clock; the look itself counts as a change.

    Raises BlobMissing when there is no account.
    """
    before, content = await blobs.read_version(layout.budget(run))
    try:
        await blobs.replace(before.path, content, etag=before.etag)
    except BlobChanged:
        return 0.0
    after, _ = await blobs.read_version(layout.budget(run))
    return (after.modified - before.modified).total_seconds()


async def recorded_usd(blobs: Blobs, run: str) -> Decimal:
    """What the outcomes of a run cost, those of chunks under way included."""
    finished, prefix = {}, layout.outcomes(run)
    async for entry in blobs.list(prefix):
        finished[entry.path.removeprefix(prefix)] = Tally.of(entry.metadata).cost_usd
    under_way = [entry.path async for entry in blobs.list(layout.checkpoints(run))]
    for path in under_way:
        if (chunk := path.removeprefix(layout.checkpoints(run))) not in finished:
            finished[chunk] = await _checkpoint_usd(blobs, path)
    return sum(finished.values(), NO_COST)


def _account(run: str, content: bytes) -> Account:
    try:
        return Account.model_validate_json(content)
    except ValidationError:
        raise AccountSpoilt(
            f"{layout.budget(run)} is not the account of a budget, so what is left of it is not known. Delete that "
            f"blob: then what the outcomes cost counts as spent. Then go on with `assay resume {run}`."
        ) from None


async def _checkpoint_usd(blobs: Blobs, path: str) -> Decimal:
    try:
        lines = (await blobs.read(path)).splitlines()
    except BlobMissing:  # the chunk has ended meanwhile: whoever ended it reports its cost
        return NO_COST
    return sum((Outcome.model_validate_json(line).cost_usd for line in lines if line), NO_COST)
