"""The part of `assay estimate` that says what the infrastructure would cost; `estimate.py` calls it."""

from decimal import Decimal

import typer

from assay.amounts import usd
from assay.cli.shown import print_table
from assay.planning.infrastructure import (
    GIB_PER_REPLICA,
    MAX_REPLICAS,
    VCPU_PER_REPLICA,
    Hosting,
    IdleCost,
    Infrastructure,
    InfrastructureCost,
)

SIZES = (100_000, 1_000_000)
COLUMNS = (
    "infrastructure",
    "trials",
    "writes",
    "reads",
    "lists",
    "queue",
    "GB kept",
    "GB telemetry",
    "USD without compute",
    "hours",
    "replicas",
    "compute USD",
)
NONE = "-"
_MARGIN = " " * len("Assumed: ")


def print_infrastructure(found: Infrastructure, hosting: Hosting) -> None:
    """A table of this run and of larger ones, the idle month, and what all of it takes for granted."""
    typer.echo("")
    runs = [("this run", found.run), *((f"a run of {int(size):,}", one) for size, one in found.scaled.items())]
    print_table(COLUMNS, [_cells(name, one) for name, one in runs])
    typer.echo(f"\n{_idle_sentence(found.idle_month)}\n")
    for index, sentence in enumerate(_assumed(found, hosting)):
        typer.echo(f"{_MARGIN if index else 'Assumed: '}{sentence}")


def _cells(name: str, one: InfrastructureCost) -> tuple[str, ...]:
    return (
        name,
        *(f"{count:,}" for count in (one.trials, one.writes, one.reads, one.listings, one.queue_operations)),
        f"{one.stored_gb:.3f}",
        f"{one.telemetry_gb:.3f}",
        _usd(one.usd_without_compute),
        NONE if one.hours is None else f"{one.hours:.2f}",
        str(one.replicas),
        _usd(one.compute_usd),
    )


def _idle_sentence(idle: IdleCost) -> str:
    return (
        f"Idle, a month with one replica: {_usd(idle.total_usd)} USD: compute {_usd(idle.compute_usd)} "
        f"({_usd(idle.compute_if_idle_usd)} where Azure finds it idle), registry {_usd(idle.registry_usd)}, "
        f"telemetry {_usd(idle.telemetry_usd)}, queue polls {_usd(idle.queue_polls_usd)}."
    )


def _assumed(found: Infrastructure, hosting: Hosting) -> list[str]:
    return [
        f"list prices of {found.prices_as_of}, region {found.region}, {found.redundancy} storage, hot tier; "
        f"source: {found.prices_source}. Free amounts are not taken off.",
        "Operations per chunk and of the limiter as measured with Azurite; Azure may retry. Storage is one month of "
        "outcomes and bundle.",
        f"Up to {hosting.replicas} replicas of {VCPU_PER_REPLICA} vCPU and {GIB_PER_REPLICA} GiB, all the time the "
        f"quota takes (the template's most: {MAX_REPLICAS}); one at full speed may do.",
        _checkpoint_sentence(found.run, hosting),
        "Not counted: operations of Durable Functions, models, Key Vault, alerts, Event Grid, private endpoints, "
        "traffic, audit, cache and budget.",
    ]


def _checkpoint_sentence(run: InfrastructureCost, hosting: Hosting) -> str:
    waits = f"{hosting.checkpoint_seconds:g} s (ASSAY_CHECKPOINT_SECONDS)"
    if run.hours is None:
        return "Without a quota the time is unknown: one checkpoint write a trial, and nothing that follows the clock."
    share = run.checkpoint_writes / max(1, run.trials)
    return f"Finished trials of a chunk wait {waits} for one checkpoint write: {share:.2f} of them a trial."


def _usd(cost: Decimal | None) -> str:
    return NONE if cost is None else usd(cost)
