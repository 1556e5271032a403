"""`assay quota show` and `assay quota set`: what deployments grant, who uses it, and an operator's word on it."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from assay.cli.connection import with_runtime
from assay.cli.shown import JsonFlag, print_facts, print_json, print_table
from assay.errors import UserError
from assay.model_settings import Accounting
from assay.quota.deployments import REREAD_SECONDS, Cut, DeploymentQuota, Limits, set_quota
from assay.quota.state import Holder, QuotaState, quota_state, quota_states
from assay.runtime import Runtime
from assay.storage import layout
from assay.suite.models import DEPLOYMENT, NAME_RULES

Limit = Annotated[int, typer.Option(min=1, show_default=False)]

quota = typer.Typer(no_args_is_help=True, help="What deployments grant per minute, and who uses it.")


def register(app: typer.Typer) -> None:
    """Adds this family's commands."""
    app.add_typer(quota, name="quota")


@quota.command()
def show(
    deployment: Annotated[str | None, typer.Argument(help="Only this deployment", show_default=False)] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show the quotas: limits and who set them, the workers and what they hold until when."""

    async def work(runtime: Runtime) -> list[QuotaState]:
        now = datetime.now(UTC)
        if deployment is None:
            return await quota_states(runtime.storage, now)
        state = await quota_state(runtime.storage, _quota_of(deployment), now)
        if state is None:
            raise UserError(
                f"deployment '{deployment}' has no quota yet: the first run that uses it makes one, "
                "or 'assay quota set'"
            )
        return [state]

    states = with_runtime(work)
    if as_json:
        print_json({"deployments": [_described(state) for state in states]})
    elif states:
        _print_states(states)
    else:
        typer.echo("No deployment has a quota yet. The first run whose suite states one makes it, or: assay quota set")


@quota.command(name="set")
def set_(
    deployment: Annotated[
        str, typer.Argument(help="The deployment as suites call it: gpt-5.4-mini, or gpt-5.4-mini@west at an endpoint")
    ],
    requests_per_minute: Limit,
    tokens_per_minute: Limit,
    accounting: Annotated[
        Accounting | None,
        typer.Option(help="Whether charges stay (standard) or are settled to what was used", show_default="as it is"),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Set what a deployment grants per minute, whatever suites say. Workers follow within about ten minutes."""

    async def work(runtime: Runtime) -> DeploymentQuota:
        wanted = Limits(requests_per_minute, tokens_per_minute, accounting)
        return await set_quota(runtime.storage, _quota_of(deployment), wanted, datetime.now(UTC))

    written = with_runtime(work)
    if as_json:
        print_json({"deployment": deployment, **written.model_dump(mode="json")})
        return
    typer.echo(
        f"'{deployment}' grants {written.requests_per_minute:,} requests and {written.tokens_per_minute:,} tokens per "
        f"minute, in {_counted(written.partitions, 'partition')}."
    )
    minutes = f"{REREAD_SECONDS / 60:g} minutes"
    if written.valid_from is None:
        typer.echo(f"Workers that run follow within {minutes}.")
    else:
        typer.echo(
            f"Workers keep to lower limits within {minutes}. Higher ones, and the new partitions, hold from "
            f"{written.valid_from:%H:%M:%S} UTC on, when all workers know of them."
        )


def _quota_of(deployment: str) -> str:
    """Where its quota lies. Raises UserError for what no suite could call a deployment."""
    if not re.fullmatch(DEPLOYMENT, deployment):
        raise UserError(f"'{deployment}' cannot be a deployment: expected {NAME_RULES[DEPLOYMENT]}")
    return layout.quota_of(deployment)


def _print_states(states: list[QuotaState]) -> None:
    for number, state in enumerate(states):
        if number:
            typer.echo()
        print_facts(_facts(state))
        if state.holders:
            typer.echo()
            print_table(
                ("worker", "holds", "wants", "until", "said", "of itself, then"),
                [_row(each, state.in_force) for each in state.holders],
            )


def _facts(state: QuotaState) -> dict[str, object]:
    now = state.in_force
    facts: dict[str, object] = {
        "deployment": layout.deployment_of(state.deployment),
        "limits": f"{now.requests_per_minute:,} requests, {now.tokens_per_minute:,} tokens per minute",
        "set": f"by {_SOURCES[state.config.source]} at {state.config.set_at:%Y-%m-%d %H:%M:%S} UTC",
        "partitions": f"{now.partitions}: {state.held} held, {now.partitions - state.held} free",
    }
    if now is not state.config:
        config = state.config
        facts["from then on"] = (
            f"{config.valid_from:%H:%M:%S} UTC: {config.requests_per_minute:,} requests, {config.tokens_per_minute:,} "
            f"tokens per minute in {_counted(config.partitions, 'partition')}"
        )
    facts["workers"] = len(state.holders) or "none with requests"
    return facts


_SOURCES = {"suite": "the first suite that used it", "operator": "an operator"}


def _row(holder: Holder, in_force: Cut) -> tuple[object, ...]:
    until = f"{holder.until:%H:%M:%S}" if holder.until else "-"
    return (
        holder.worker,
        holder.holds,
        holder.wants,
        until,
        f"{holder.said_at:%H:%M:%S}",
        _said(holder.facts, in_force),
    )


def _said(facts: Mapping[str, str], in_force: Cut) -> str:
    """What is worth a person's look: the pace first; limits and what slows the worker down only where they differ."""
    usual = {
        **_UNDISTURBED,
        "requests_per_minute": str(in_force.requests_per_minute),
        "tokens_per_minute": str(in_force.tokens_per_minute),
    }
    names = [*(name for name in _PACE if name in facts), *sorted(set(facts) - set(_PACE))]
    return ", ".join(f"{name.replace('_', ' ')} {facts[name]}" for name in names if facts[name] != usual.get(name))


_PACE = ("waiting", "requests_last_minute", "tokens_last_minute")
_UNDISTURBED: Mapping[str, str] = {"requests_factor": "1.000", "tokens_factor": "1.000", "gate_seconds": "0.0"}


def _described(state: QuotaState) -> dict[str, Any]:
    return {
        "deployment": layout.deployment_of(state.deployment),
        **state.config.model_dump(mode="json"),
        "in_force": state.in_force.model_dump(mode="json", include=set(_IN_FORCE)),
        "held": state.held,
        "asked_for": state.asked_for,
        "workers": [_worker(holder) for holder in state.holders],
    }


_IN_FORCE = ("requests_per_minute", "tokens_per_minute", "partitions", "cut")


def _worker(holder: Holder) -> Mapping[str, Any]:
    return {
        "worker": holder.worker,
        "holds": holder.holds,
        "wants": holder.wants,
        "until": holder.until.isoformat() if holder.until else None,
        "said_at": holder.said_at.isoformat(),
        "facts": dict(holder.facts),
    }


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
