"""Stopped runs: what is counted and said of them, and how one is let go on. Steps and the command line call this."""

from datetime import datetime, timedelta
from decimal import Decimal

from assay.amounts import usd
from assay.budget.account import (
    Account,
    AccountSpoilt,
    change_account,
    let_go,
    open_account,
    quiet_seconds,
    read_account,
    recorded_usd,
)
from assay.errors import BlobMissing, UserError
from assay.execution.ledger import read_outcomes, tally
from assay.execution.stops import Stop, mark_stopped
from assay.orchestration.budgets import budget_message, terms_of
from assay.orchestration.events import resumption
from assay.orchestration.progress import count_progress, done_chunks, read_progress, write_progress
from assay.planning.frozen import read_header
from assay.planning.judges.catalogue import most_questions
from assay.records import NO_COST
from assay.run_records import BudgetMode, Plan, Progress, RunHeader, Stage, Tally
from assay.storage import layout
from assay.storage.base import Blobs, Storage
from assay.suite.models import Suite

LET_GO_SECONDS = 120
"""A worker that lives and asks nothing gives its money back within ten seconds or so."""

UNHEARD_SECONDS = 60
"""A run that goes on is taken up within seconds; one that was not is resumed once more."""

_RESUMABLE = (Stage.STOPPED, Stage.FAILED)
_HELD = ("leased", "breaking")


async def chunks_at_work(blobs: Blobs, run: str) -> int:
    """How many chunks of the run a worker has claimed right now."""
    return sum([entry.lease in _HELD async for entry in blobs.list(layout.checkpoints(run))])


async def stopped_progress(blobs: Blobs, header: RunHeader, plan: Plan, stop: Stop, now: datetime) -> Progress:
    """Where a stopped run stands, chunks that are not finished included, and what a person can do."""
    counted = await count_progress(blobs, header, plan, Stage.STOPPED, now)
    by_experiment, by_judgement = dict(counted.by_experiment), dict(counted.by_judgement)
    for name, unfinished in await _unfinished(blobs, header.run):
        tallies = by_experiment if name in by_experiment else by_judgement
        tallies[name] += unfinished
    total = sum((*by_experiment.values(), *by_judgement.values()), Tally())
    progress = counted.model_copy(update={"by_experiment": by_experiment, "by_judgement": by_judgement, "tally": total})
    return progress.model_copy(update={"message": await _message(blobs, progress, stop)})


async def stop_run(storage: Storage, run: str, now: datetime, because: str = "") -> Progress:
    """Lets a run ask no further: chunks under way end, no other is begun. Gives what is known of it now.

    Doing it twice changes nothing. Raises UserError when there is no such run, or when it asks nothing any more.
    """
    progress = await read_progress(storage, run)
    if progress is None:
        raise UserError(f"there is no run '{run}'; 'assay ls' shows what there is")
    if progress.stage not in (Stage.PLANNING, Stage.ASKING, Stage.STOPPED):
        raise UserError(f"run '{run}' asks nothing any more: it is {progress.stage}")
    message = f"Stopped by a person: {because}" if because else "Stopped by a person"
    await mark_stopped(storage, run, Stop(reason="asked", message=message, at=now))
    return progress


async def resume(
    storage: Storage, run: str, now: datetime, *, budget_usd: Decimal | None = None, mode: BudgetMode | None = None
) -> Progress:
    """Lets a stopped run go on where it stopped; gives what is known of it now.

    Its suite is the one it began with, whatever lies on storage. Raises UserError when there is no such run, when it is
    not stopped (a second call finds it under way, unless nobody took it up), or when the new budget is used up already;
    AccountSpoilt.
    """
    progress = await read_progress(storage, run)
    if progress is None:
        raise UserError(f"there is no run '{run}'; 'assay ls' shows what there is")
    if progress.stage not in _RESUMABLE and not _is_unheard(progress, now):
        raise UserError(_not_stopped(progress))
    header = await read_header(storage, run)
    await _let_go(storage, header)
    if budget_usd is not None or mode is not None:
        await _change_budget(storage, header, budget_usd, mode)
    await storage.delete(layout.stop(run))
    begun = progress.model_copy(update={"stage": Stage.PLANNING, "message": "", "updated_at": now})
    await write_progress(storage, begun)
    await storage.send(layout.INGEST_QUEUE, resumption(run))
    return begun


async def _change_budget(
    storage: Storage, header: RunHeader, budget_usd: Decimal | None, mode: BudgetMode | None
) -> None:
    terms = terms_of(Suite.model_validate(header.suite))
    if terms is None or not terms.is_enforced:
        found = "has no budget" if terms is None else "has a soft budget, which stops nothing"
        raise UserError(f"run '{header.run}' {found}; resume it without --budget-usd and --budget")
    await open_account(storage, header.run, terms.limit_usd, terms.mode)

    def changed(account: Account) -> Account:
        limit = account.limit_usd if budget_usd is None else budget_usd
        if (mode or account.mode) == "enforce" and limit <= account.counted_usd:
            raise UserError(
                f"a budget of {usd(limit)} USD is not enough to go on: {usd(account.counted_usd)} USD is spent already;"
                " expected more than that"
            )
        return account.model_copy(update={"limit_usd": limit, "mode": mode or account.mode})

    await change_account(storage, header.run, changed)


async def _let_go(storage: Storage, header: RunHeader) -> None:
    """Frees what dead workers held: nobody has a chunk claimed, and who lives would have given back long ago."""
    run = header.run
    seen = await read_account(storage, run)
    if seen is None or await chunks_at_work(storage, run):
        return
    if await quiet_seconds(storage, run) < LET_GO_SECONDS:
        return
    recorded = await recorded_usd(storage, run)
    suite = Suite.model_validate(header.suite)
    asked = (suite.limits.calls_per_trial if one.program else len(one.criteria) for one in suite.experiments)
    answers = max(*asked, most_questions(suite))
    # Counting takes a while: what somebody has drawn since, as of a second resumption, is held by the living.
    await change_account(storage, run, lambda now: let_go(now, recorded, answers) if now == seen else now)


async def _unfinished(blobs: Blobs, run: str) -> list[tuple[str, Tally]]:
    """Per checkpoint the experiment and what is done of the chunk."""
    prefix = layout.checkpoints(run)
    finished = await done_chunks(blobs, run)
    found: list[tuple[str, Tally]] = []
    for path in [entry.path async for entry in blobs.list(prefix)]:
        experiment, _, chunk = path.removeprefix(prefix).removesuffix(".jsonl").partition("/")
        if (experiment, int(chunk)) not in finished:
            found.append((experiment, await _checkpointed(blobs, path)))
    return found


async def _checkpointed(blobs: Blobs, path: str) -> Tally:
    try:
        return tally(read_outcomes(await blobs.read(path)))
    except BlobMissing:  # finished just now: the next look counts it
        return Tally()


async def _message(blobs: Blobs, progress: Progress, stop: Stop) -> str:
    if stop.reason == "budget" and (account := await _readable_account(blobs, progress.run)):
        spent = max(account.spent_usd, progress.tally.cost_usd)
        return budget_message(progress, spent, account.limit_usd, max(NO_COST, account.counted_usd - spent))
    how = "" if "assay resume" in stop.message else f" Then go on: assay resume {progress.run}"
    done = f"{progress.tally.trials:,} of {progress.trials_total:,} trials are done."
    return f"{stop.message.rstrip()}{'' if stop.message.rstrip().endswith('.') else '.'} {done}{how}"


async def _readable_account(blobs: Blobs, run: str) -> Account | None:
    try:
        return await read_account(blobs, run)
    except AccountSpoilt:  # whoever resumes the run is told
        return None


def _is_unheard(progress: Progress, now: datetime) -> bool:
    """Whether who let the run go on was cut off before saying so, or nobody listened."""
    seen = progress.updated_at
    return progress.stage is Stage.PLANNING and seen is not None and now - seen >= timedelta(seconds=UNHEARD_SECONDS)


def _not_stopped(progress: Progress) -> str:
    if progress.stage is Stage.DONE:
        return f"run '{progress.run}' has ended well, nothing is left to resume; its bundle: assay fetch {progress.run}"
    return f"run '{progress.run}' is not stopped but {progress.stage}; 'assay watch {progress.run}' follows it"
