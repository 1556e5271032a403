"""The ledger of a chunk under way: who works on it, and which of its outcomes are safe already.

A claim is a lease on the chunk's checkpoint. Outcomes are appended to it in small groups, and the last group is
written together with all others as the chunk's outcome blob, which is created once and ends the chunk.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from time import monotonic

from assay.errors import BlobExists, BlobMissing, LeaseHeld, LeaseLost, StorageError
from assay.records import ChunkMessage, Outcome, TrialStatus
from assay.run_records import Tally
from assay.storage import layout
from assay.storage.base import Storage

CLAIM_SECONDS = 15
RENEW_SECONDS = 5
FLUSH_SECONDS = 5
BLOCK_BYTES = 4 * 1024**2
"""What storage of every age takes in one append; today's takes 100 MiB, which no single outcome needs."""


class ChunkDone(Exception):
    """The chunk's outcome blob is there already."""


@dataclass
class Claim:
    """A lease, and the monotonic second until which nobody else can have taken it over."""

    lease: str
    sure_until: float


class Ledger:
    """Outcomes of one claimed chunk. `add` returns once the outcome can no longer be lost."""

    def __init__(
        self, storage: Storage, message: ChunkMessage, claim: Claim, known: Iterable[Outcome], linger_seconds: float
    ) -> None:
        self._storage, self._message, self._claim, self._linger = storage, message, claim, linger_seconds
        self._safe = {outcome.row_number: outcome for outcome in known}
        self._waiting: list[tuple[Outcome, asyncio.Future[None]]] = []
        self._commit: asyncio.Task[None] | None = None
        self._no_more = asyncio.Event()

    @property
    def safe_rows(self) -> frozenset[int]:
        """Numbers of the rows whose outcome is safe."""
        return frozenset(self._safe)

    @property
    def tally(self) -> Tally:
        return tally(self._safe.values())

    def check_claim(self) -> None:
        """Raises LeaseLost when the claim may have run out, as after a stop of the process: pay for nothing more."""
        if monotonic() >= self._claim.sure_until:
            raise LeaseLost(f"{self._checkpoint}: not renewed for {CLAIM_SECONDS} seconds; another worker may have it")

    async def add(self, outcome: Outcome) -> None:
        """Keeps an outcome. Raises LeaseLost when another worker has taken the chunk over, StorageError."""
        safe: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((outcome, safe))
        self._stop_lingering_if_all_here()
        if self._commit is None or self._commit.done():
            self._commit = asyncio.create_task(self._commit_waiting())
        await safe

    async def finish(self) -> None:
        """Ends a chunk whose outcomes were all known from the start; otherwise the last `add` has done it.

        Raises StorageError when a row has no outcome: then the checkpoint must stay.
        """
        if len(self._safe) < self._message.rows:
            found = f"{len(self._safe)} of {self._message.rows} rows have an outcome"
            raise StorageError(f"{self._checkpoint}: {found}, and no more rows were found; expected one each")
        if self._commit is None:
            await self._write_outcomes(self._safe)

    async def end_early(self) -> None:
        """Ends a chunk of which no more rows are asked: those without an outcome count as skipped."""
        waived = self._message.rows - len(self._safe)
        await self._write_outcomes(self._safe, Tally(trials=waived, skipped=waived))

    async def flush(self) -> None:
        """Waits, a little, until what was added is safe; for a worker that is told to stop."""
        self._no_more.set()
        if self._commit is not None:
            await asyncio.wait({self._commit}, timeout=FLUSH_SECONDS)

    def _stop_lingering_if_all_here(self) -> None:
        if len(self._safe) + len(self._waiting) >= self._message.rows:
            self._no_more.set()

    async def _commit_waiting(self) -> None:
        """Commits group after group; one that fails does not hold up those that came meanwhile."""
        while self._waiting:
            self._stop_lingering_if_all_here()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._no_more.wait(), self._linger)
            group, self._waiting = self._waiting, []
            try:
                await self._make_safe([outcome for outcome, _ in group])
            except Exception as error:
                _settle(group, error)
            else:
                _settle(group, None)

    async def _make_safe(self, outcomes: list[Outcome]) -> None:
        known = self._safe | {outcome.row_number: outcome for outcome in outcomes}
        if len(known) < self._message.rows:
            for block in _blocks(outcomes):
                await self._append(block)
        else:
            await self._write_outcomes(known)
        self._safe = known

    async def _append(self, lines: bytes) -> None:
        try:
            await self._storage.append(self._checkpoint, lines, lease=self._claim.lease)
        except BlobMissing as error:
            raise LeaseLost(f"{self._checkpoint} is gone: another worker has ended the chunk") from error

    async def _write_outcomes(self, known: dict[int, Outcome], waived: Tally | None = None) -> None:
        ordered = [known[number] for number in sorted(known)]
        name = layout.outcome(self._message.run, self._message.experiment, self._message.chunk)
        counted = tally(ordered) + (waived or Tally())
        with suppress(BlobExists):
            await self._storage.write(name, _lines(ordered), metadata=metadata_of(counted))

    @property
    def _checkpoint(self) -> str:
        return layout.checkpoint(self._message.run, self._message.experiment, self._message.chunk)


@asynccontextmanager
async def claimed(storage: Storage, message: ChunkMessage, linger_seconds: float) -> AsyncIterator[Ledger]:
    """The chunk's ledger, ours alone while the block runs; the checkpoint is gone once the outcome blob is there.

    Raises ChunkDone, LeaseHeld when another worker has the chunk.
    """
    checkpoint = layout.checkpoint(message.run, message.experiment, message.chunk)
    await storage.open_journal(checkpoint)
    async with _claimed(storage, checkpoint) as claim:
        # Looked up under the claim: whoever had it before writes the outcome blob before giving the claim up.
        done = await storage.find(layout.outcome(message.run, message.experiment, message.chunk))
        if not done:
            known = read_outcomes(await storage.read(checkpoint))
            ledger = Ledger(storage, message, claim, known, linger_seconds)
            async with _flushed(ledger):
                yield ledger
        await storage.delete(checkpoint, lease=claim.lease)
    if done:
        raise ChunkDone


@asynccontextmanager
async def _claimed(storage: Storage, checkpoint: str) -> AsyncIterator[Claim]:
    """A claim, renewed while the block runs; given up when that fails, so that the next need not wait."""
    asked_at = monotonic()
    try:
        claim = Claim(await storage.acquire(checkpoint, CLAIM_SECONDS), asked_at + CLAIM_SECONDS)
    except BlobMissing:
        raise LeaseHeld(f"{checkpoint}: its holder finished just now") from None
    renewal = asyncio.create_task(_keep(storage, checkpoint, claim))
    try:
        yield claim
    except BaseException:
        with suppress(StorageError):
            await storage.release(checkpoint, claim.lease)
        raise
    finally:
        renewal.cancel()


@asynccontextmanager
async def _flushed(ledger: Ledger) -> AsyncIterator[None]:
    """Lets outcomes on their way arrive when the block fails or is cancelled: they are paid for."""
    try:
        yield
    except BaseException:
        await ledger.flush()
        raise


def read_outcomes(lines: bytes) -> list[Outcome]:
    """The outcomes of a checkpoint or outcome blob."""
    return [Outcome.model_validate_json(line) for line in lines.splitlines() if line]


def tally(outcomes: Iterable[Outcome]) -> Tally:
    """Counts and sums over outcomes."""
    counts = dict.fromkeys(TrialStatus, 0)
    trials = input_tokens = output_tokens = cached = reruns = 0
    cost = Decimal(0)
    for outcome in outcomes:
        counts[outcome.status] += 1
        usage = outcome.usage
        trials, cost = trials + 1, cost + outcome.cost_usd
        input_tokens, output_tokens = input_tokens + usage.input_tokens, output_tokens + usage.output_tokens
        cached += sum(response.cached for response in outcome.responses)
        reruns += sum(response.reruns for response in outcome.responses)
    return Tally(
        trials=trials,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost_usd=cost,
        cached=cached,
        reruns=reruns,
        **{status.value: count for status, count in counts.items()},
    )


def metadata_of(counted: Tally) -> dict[str, str]:
    """A tally as blob metadata, so that one listing tells a run's progress."""
    return {name: str(value) for name, value in counted.model_dump().items()}


async def _keep(storage: Storage, checkpoint: str, claim: Claim) -> None:
    """Renews the claim until cancelled. A lost one shows at the next append, which storage refuses."""
    while True:
        await asyncio.sleep(RENEW_SECONDS)
        asked_at = monotonic()
        with suppress(StorageError):
            await storage.renew(checkpoint, claim.lease)
            claim.sure_until = asked_at + CLAIM_SECONDS


def _lines(outcomes: Iterable[Outcome]) -> bytes:
    return b"".join(outcome.model_dump_json().encode() + b"\n" for outcome in outcomes)


def _blocks(outcomes: Iterable[Outcome]) -> Iterator[bytes]:
    """The same in pieces for one append each; an outcome that is larger makes a piece of its own."""
    block: list[bytes] = []
    size = 0
    for outcome in outcomes:
        line = _lines([outcome])
        if block and size + len(line) > BLOCK_BYTES:
            yield b"".join(block)
            block, size = [], 0
        block.append(line)
        size += len(line)
    yield b"".join(block)


def _settle(group: list[tuple[Outcome, asyncio.Future[None]]], error: Exception | None) -> None:
    for _, safe in group:
        if safe.done():
            continue
        if error is None:
            safe.set_result(None)
        else:
            safe.set_exception(error)
