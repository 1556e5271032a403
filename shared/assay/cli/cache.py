"""`assay cache stats`, `validate`, `purge`: the answers that were kept (`middleware/cache.py`)."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from assay.cli.connection import with_runtime
from assay.cli.shown import JsonFlag, print_facts, print_json, print_table, progress_console
from assay.errors import EXIT_FAILED, EXIT_OK, UserError
from assay.middleware import cache_upkeep
from assay.middleware.cache_upkeep import CacheSize, Checked, Removable
from assay.runtime import Runtime

SHOWN_FAULTS = 20
_PERIODS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_SIZES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}

cache = typer.Typer(help="Look after the answers that the response cache keeps.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Adds this family's commands."""
    cache.command()(stats)
    cache.command()(validate)
    cache.command()(purge)
    app.add_typer(cache, name="cache")


def stats(as_json: JsonFlag = False) -> None:
    """Show how many answers are kept, how large they are, and how old."""

    async def work(runtime: Runtime) -> CacheSize:
        return await cache_upkeep.measure(runtime.storage)

    size = with_runtime(work)
    if as_json:
        print_json(size.model_dump(mode="json"))
        return
    print_facts({"entries": f"{size.entries:,}", "size": _size(size.size_bytes)})
    if size.oldest and size.newest:
        print_facts({"oldest": f"{size.oldest:%Y-%m-%d %H:%M}", "newest": f"{size.newest:%Y-%m-%d %H:%M}"})


def validate(
    remove: Annotated[bool, typer.Option("--purge", help="Remove what is corrupt")] = False, as_json: JsonFlag = False
) -> None:
    """Read every kept answer and verify its digest. Exit code 1 when corrupt ones are found and stay."""

    async def work(runtime: Runtime) -> tuple[int, list[Checked]]:
        checked, corrupt = await _validated(runtime)
        if remove:
            await cache_upkeep.remove(runtime.storage, [one.entry.path for one in corrupt])
        return checked, corrupt

    checked, corrupt = with_runtime(work)
    if as_json:
        faults = [{"path": one.entry.path, "fault": one.fault} for one in corrupt]
        print_json({"checked": checked, "corrupt": faults, "removed": len(corrupt) if remove else 0})
    else:
        _print_faults(checked, corrupt, "removed" if remove else "never served; --purge removes them")
    raise typer.Exit(EXIT_FAILED if corrupt and not remove else EXIT_OK)


def purge(
    older_than: Annotated[str | None, typer.Option(help="Remove what is older, such as 30d, 12h, 45m")] = None,
    max_size: Annotated[str | None, typer.Option(help="Remove the oldest until so much is left, such as 2GB")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Remove kept answers, oldest first. Says what it would remove before it asks."""
    if older_than is None and max_size is None:
        raise UserError("nothing to go by: set --older-than, --max-size or both")
    age = None if older_than is None else parsed_period(older_than)
    most_bytes = None if max_size is None else parsed_size(max_size)
    if as_json and not yes:
        raise UserError("--json leaves no place for a question: add --yes")

    async def work(runtime: Runtime) -> list[Removable]:
        with progress_console().status("Listing the cache"):
            found = await cache_upkeep.removable(runtime.storage, datetime.now(UTC), age, most_bytes)
        if found and (yes or _agreed(found)):
            await _remove(runtime, [one.path for one in found])
        return found

    removed = with_runtime(work)
    facts: dict[str, Any] = {"removed": len(removed), "size_bytes": sum(one.size for one in removed)}
    if as_json:
        print_json(facts)
    else:
        typer.echo(f"Removed {_described(removed)}." if removed else "There is nothing to remove.")


def parsed_period(text: str) -> timedelta:
    """`30d`, `12h`, `45m` or `90s`. Raises UserError."""
    found = re.fullmatch(r"(\d{1,6})([smhd])", text.strip().lower(), re.ASCII)
    if found is None:
        raise UserError(f"--older-than is '{text}'; expected a number and s, m, h or d, such as 30d")
    return timedelta(seconds=int(found[1]) * _PERIODS[found[2]])


def parsed_size(text: str) -> int:
    """Bytes of `2GB`, `500 MB`, `1.5g` or `1000`; decimal units. Raises UserError."""
    found = re.fullmatch(r"(\d{1,12}(?:\.\d{1,3})?)\s*([kmgt]?)b?", text.strip().lower(), re.ASCII)
    if found is None:
        raise UserError(f"--max-size is '{text}'; expected a number and KB, MB, GB or TB, such as 2GB")
    return int(float(found[1]) * _SIZES[found[2]])


async def _validated(runtime: Runtime) -> tuple[int, list[Checked]]:
    checked, corrupt = 0, []
    with progress_console().status("Reading the cache") as status:
        async for one in cache_upkeep.check(runtime.storage):
            checked += 1
            if one.fault:
                corrupt.append(one)
            if checked % 100 == 0:
                status.update(f"Reading the cache: {checked:,} entries, {len(corrupt):,} corrupt")
    return checked, corrupt


async def _remove(runtime: Runtime, paths: list[str]) -> None:
    step = 10 * cache_upkeep.AT_ONCE
    with progress_console().status("Removing") as status:
        for at in range(0, len(paths), step):
            await cache_upkeep.remove(runtime.storage, paths[at : at + step])
            status.update(f"Removing: {min(at + step, len(paths)):,} of {len(paths):,}")


def _agreed(found: list[Removable]) -> bool:
    typer.echo(f"This would remove {_described(found)}, the oldest of {found[0].modified:%Y-%m-%d %H:%M}.", err=True)
    typer.confirm("Remove them?", abort=True, err=True)
    return True


def _print_faults(checked: int, corrupt: list[Checked], fate: str) -> None:
    if not corrupt:
        typer.echo(f"All {checked:,} entries are whole.")
        return
    print_table(("corrupt", "why"), [(one.entry.path, one.fault) for one in corrupt[:SHOWN_FAULTS]])
    if len(corrupt) > SHOWN_FAULTS:
        typer.echo(f"... and {len(corrupt) - SHOWN_FAULTS:,} more")
    typer.echo(f"{len(corrupt):,} of {checked:,} entries are corrupt: {fate}.")


def _described(found: list[Removable]) -> str:
    return f"{len(found):,} {'entry' if len(found) == 1 else 'entries'}, {_size(sum(one.size for one in found))}"


def _size(size_bytes: int) -> str:
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "KB")):
        if size_bytes >= unit:
            return f"{size_bytes / unit:.1f} {name}"
    return f"{size_bytes} bytes"
