"""`assay submit`, `watch`, `resume`, `ls`, `show`: runs, from the dropped file to the result."""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import typer

from assay.amounts import exact_usd, usd
from assay.cli.connection import with_runtime
from assay.cli.live import watch
from assay.cli.shown import JsonFlag, print_facts, print_json, print_table, progress_console
from assay.errors import BlobMissing, CheckFailed, UserError
from assay.orchestration.budgets import terms_now
from assay.orchestration.drops import Drop, drop_file, find_refusal
from assay.orchestration.stopping import resume, stop_run
from assay.planning.frozen import read_header
from assay.records import NO_COST
from assay.run_records import BudgetMode, Progress, Refusal, Stage
from assay.runtime import Runtime, now
from assay.storage import layout
from assay.storage.bundle_names import SUMMARY
from assay.suite.models import LEAST_BUDGET_USD, MOST_BUDGET_USD

RunArgument = Annotated[str, typer.Argument(help="The run's id, as 'assay ls' shows it", show_default=False)]
APPEARS_SECONDS = 30.0
COUNTED = ("experiments", "judgements", "message")
"""What `assay show` prints below the facts."""

SHOWN_REFUSALS = 20


def register(app: typer.Typer) -> None:
    """Adds this family's commands."""
    app.command()(submit)
    app.command(name="watch")(watch_run)
    app.command(name="stop")(stop_asking)
    app.command(name="resume")(resume_run)
    app.command()(ls)
    app.command()(show)


def submit(
    file: Annotated[Path, typer.Argument(help="Dataset to drop into the inbox", exists=True, dir_okay=False)],
    suite: Annotated[str, typer.Option("--suite", "-s", help="Suite to run it with", show_default=False)],
    again: Annotated[
        bool, typer.Option("--again", help="Run it once more, even if this content was run before")
    ] = False,
    over_budget: Annotated[
        bool, typer.Option("--over-budget", help="Begin even if it would likely cost more than its budget")
    ] = False,
    follow: Annotated[bool, typer.Option("--watch", help="Stay and watch the run")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Drop a dataset file; a run starts by itself. Prints the run's id."""

    async def work(runtime: Runtime) -> Progress:
        token = secrets.token_hex(4) if again else ""
        drop = await drop_file(runtime.storage, suite, file, token, over_budget=over_budget)
        if drop.is_known:
            progress_console().print("This content was run before with this suite; --again runs it once more.")
        progress = await appeared(runtime, drop)
        if not as_json:
            typer.echo(drop.run)
        return await _watched(runtime, drop.run) if follow else progress

    progress = _while_watching(work) if follow else with_runtime(work)
    if as_json:
        print_json(progress.model_dump(mode="json"))


def watch_run(run: RunArgument, as_json: JsonFlag = False) -> None:
    """Watch a run until it has ended. Exit code 1 when it failed or was stopped."""

    async def work(runtime: Runtime) -> Progress:
        await known_run(runtime, run)
        return await _watched(runtime, run)

    progress = _while_watching(work)
    if as_json:
        print_json(progress.model_dump(mode="json"))


def stop_asking(
    run: RunArgument,
    because: Annotated[str, typer.Option("--because", help="Why, for those who find it stopped")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Let a run ask no further; what is under way ends and is kept. `assay resume` lets it go on."""
    progress = with_runtime(lambda runtime: stop_run(runtime.storage, run, now(), because))
    if as_json:
        print_json(progress.model_dump(mode="json"))
    else:
        typer.echo(f"{run} asks no further; {_share(progress)} trials are done. It goes on with: assay resume {run}")


def resume_run(
    run: RunArgument,
    budget_usd: Annotated[
        str | None, typer.Option("--budget-usd", help="What the run may cost in all, from now on", show_default=False)
    ] = None,
    budget: Annotated[
        BudgetMode | None,
        typer.Option("--budget", help="Whether the budget stops the run or only warns", show_default=False),
    ] = None,
    follow: Annotated[bool, typer.Option("--watch", help="Stay and watch the run")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Let a stopped run go on where it stopped, if need be with a higher budget."""
    limit = None if budget_usd is None else _amount(budget_usd)

    async def work(runtime: Runtime) -> Progress:
        progress = await resume(runtime.storage, run, now(), budget_usd=limit, mode=budget)
        if not as_json:
            typer.echo(f"{run} goes on; {_share(progress)} trials are done.")
        return await _watched(runtime, run) if follow else progress

    progress = _while_watching(work) if follow else with_runtime(work)
    if as_json:
        print_json(progress.model_dump(mode="json"))


def ls(as_json: JsonFlag = False) -> None:
    """List the runs, newest first, and the files that were refused."""

    async def work(runtime: Runtime) -> tuple[list[Progress], list[Refusal]]:
        return await runtime.runs(), await _refusals(runtime)

    runs, refusals = with_runtime(work)
    if as_json:
        print_json({"runs": [_dumped(run) for run in runs], "refused": [_dumped(refusal) for refusal in refusals]})
        return
    rows = [
        (run.run, run.stage.value, _share(run), usd(run.tally.cost_usd), run.tally.failed, _when(run)) for run in runs
    ]
    if rows:
        print_table(("run", "stage", "trials", "USD", "failed", "started (UTC)"), rows)
        for one in runs:
            if one.stage is Stage.STOPPED:
                typer.echo(f"\n{one.run} is stopped. {one.message}")
    else:
        typer.echo("No runs yet. Drop a file: assay submit FILE --suite NAME")
    if refusals:
        typer.echo()
        print_table(("refused", "reason"), [(refusal.subject, refusal.reason) for refusal in refusals])


def show(run: RunArgument, as_json: JsonFlag = False) -> None:
    """Show a run: where it stands, what it compares, where its bundle is."""

    async def work(runtime: Runtime) -> dict[str, Any]:
        return await _described(runtime, await known_run(runtime, run))

    described = with_runtime(work)
    if as_json:
        print_json(described)
        return
    print_facts({name: value for name, value in described.items() if name not in COUNTED})
    if described["message"]:
        print_facts({"message": described["message"]})
    tallies = {**described["experiments"], **described["judgements"]}
    counts = [(name, *tally.values()) for name, tally in tallies.items()]
    if counts:
        typer.echo()
        print_table(("experiment", *next(iter(described["experiments"].values()))), counts)


def _amount(written: str) -> Decimal:
    """An amount in USD. Raises UserError."""
    try:
        amount = Decimal(written)
    except InvalidOperation:
        amount = NO_COST
    if not amount.is_finite() or not LEAST_BUDGET_USD <= amount <= MOST_BUDGET_USD:
        raise UserError(
            f"--budget-usd {written}: expected an amount from {LEAST_BUDGET_USD} to {MOST_BUDGET_USD:,}, such as 40"
        )
    return amount


async def known_run(runtime: Runtime, run: str) -> Progress:
    """What was last seen of a run. Raises UserError when there is none."""
    progress = await runtime.run(run)
    if progress is None:
        raise UserError(f"there is no run '{run}'; 'assay ls' shows what there is")
    return progress


async def _watched(runtime: Runtime, run: str) -> Progress:
    """Watches a run to its end, and says what it found and how to get it."""
    progress = await watch(runtime, run)
    summary = json.loads(await runtime.storage.read(f"{layout.published(run)}{SUMMARY}"))
    progress_console().print(f"{summary['headline']}\nThe bundle: assay fetch {run}", markup=False)
    return progress


def _while_watching(work: Callable[[Runtime], Awaitable[Progress]]) -> Progress:
    try:
        return with_runtime(work)
    except KeyboardInterrupt:
        progress_console().print("No longer watching; the run goes on.")
        raise


async def appeared(runtime: Runtime, drop: Drop) -> Progress:
    """The run of a drop, once the trigger has made it. Raises UserError when the file was refused, CheckFailed."""
    for _ in range(int(APPEARS_SECONDS / 0.25)):
        if progress := await runtime.run(drop.run):
            return progress
        if refusal := await find_refusal(runtime.storage, drop):
            raise UserError(refusal.reason)
        await asyncio.sleep(0.25)
    raise CheckFailed(
        f"{drop.path} is in the inbox, but no run started within {APPEARS_SECONDS:.0f} seconds;"
        " is the function app running?"
    )


async def _described(runtime: Runtime, progress: Progress) -> dict[str, Any]:
    header = await read_header(runtime.storage, progress.run)
    terms = await terms_now(runtime.storage, header)
    published = [entry.path async for entry in runtime.storage.list(layout.published(progress.run))]
    return {
        "run": progress.run,
        "stage": progress.stage.value,
        "trials": _share(progress),
        "cost_usd": exact_usd(progress.tally.cost_usd),
        "budget": f"{usd(terms.limit_usd)} USD ({terms.mode})" if terms else "none",
        "started": _when(progress),
        "suite": f"{header.suite_name} ({header.suite_sha256[:12]})",
        "dataset": f"{header.dataset.file} ({header.dataset.size:,} bytes, sha256 {header.dataset.sha256[:12]})",
        "rows_quarantined": progress.bad_rows,
        "bundle": layout.published(progress.run) if published else "not published yet",
        "message": progress.message,
        "experiments": {name: tally.model_dump(mode="json") for name, tally in progress.by_experiment.items()},
        "judgements": {name: tally.model_dump(mode="json") for name, tally in progress.by_judgement.items()},
    }


async def _refusals(runtime: Runtime) -> list[Refusal]:
    """The newest ones; a heap of garbage must not keep a list of runs waiting."""
    entries = [entry async for entry in runtime.storage.list(f"{layout.QUARANTINE}/")]
    newest = sorted(entries, key=lambda entry: entry.modified, reverse=True)[:SHOWN_REFUSALS]
    found = await asyncio.gather(*(_refusal(runtime, entry.path) for entry in newest))
    return [refusal for refusal in found if refusal]


async def _refusal(runtime: Runtime, path: str) -> Refusal | None:
    try:
        return Refusal.model_validate_json(await runtime.storage.read(path))
    except BlobMissing:
        return None


def _dumped(record: Progress | Refusal) -> dict[str, Any]:
    return record.model_dump(mode="json")


def _share(progress: Progress) -> str:
    tally = progress.tally
    skipped = f", {tally.skipped:,} skipped" if tally.skipped else ""
    return f"{tally.trials - tally.skipped:,} of {progress.trials_total:,}{skipped}"


def _when(progress: Progress) -> str:
    return f"{progress.started_at:%Y-%m-%d %H:%M:%S}" if progress.started_at else "-"
