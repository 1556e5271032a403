"""`assay validate`, `assay deploy`, `assay schema`: suites, before they run."""

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.connection import chosen_settings, with_runtime
from assay.cli.datasets import datasets_beside, planned_locally, print_report
from assay.cli.opened import opened, uploaded
from assay.cli.shown import JsonFlag, print_facts, print_json
from assay.errors import UserError
from assay.planning.preflight import columns_used, primary_score
from assay.planning.row_report import RowReport, report_rows
from assay.planning.suite_schema import suite_schema
from assay.storage.bundle_names import SUITE_FILE
from assay.suite.loading import SuiteSource
from assay.suite.models import Suite

SuiteArgument = Annotated[
    Path, typer.Argument(help="A suite folder, or its suite.yaml", exists=True, show_default=False)
]
ProfileOption = Annotated[
    str, typer.Option("--profile", metavar="NAME", help="A profile of the suite, put over the rest", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Adds this family's commands."""
    app.command()(validate)
    app.command()(deploy)
    app.command(name="schema")(show_schema)


def folder_of(suite: Path) -> Path:
    """The folder of a suite that is named by its folder or its file."""
    return suite if suite.is_dir() else suite.parent


def validate(suite: SuiteArgument, profile: ProfileOption = "", as_json: JsonFlag = False) -> None:
    """Check a suite and the datasets beside it, without asking a model. Exit code 2 when something is wrong."""
    folder = folder_of(suite)
    resolved = opened(folder, profile)
    checked, text = resolved.suite, resolved.source
    datasets = [_examined(checked, text, path) for path in datasets_beside(folder)]
    facts = _facts(checked, [f"{one.file} ({one.rows:,} rows, {one.bad_rows:,} bad)" for one in datasets])
    warnings = _endpoint_warnings(checked)
    if as_json:
        told = [one.model_dump(mode="json") for one in datasets]
        print_json({"ok": True, **facts, "preflight": told, "warnings": warnings})
        return
    print_facts({key: ", ".join(value) if isinstance(value, list) else value for key, value in facts.items()})
    for report in datasets:
        print_report(report)
    for warning in warnings:
        typer.secho(f"Warning: {warning}", fg="yellow", err=True)
    typer.echo("The suite is fine." if datasets else "The suite is fine; there is no dataset beside it to check.")


def deploy(suite: SuiteArgument, profile: ProfileOption = "", as_json: JsonFlag = False) -> None:
    """Check a suite and put it where runs find it; files dropped from then on use it."""
    folder = folder_of(suite)
    name = with_runtime(lambda runtime: uploaded(runtime.storage, folder, profile))
    if as_json:
        print_json({"suite": name})
    else:
        typer.echo(f"Suite '{name}' is deployed. Drop a file: assay submit FILE --suite {name}")


def show_schema(
    to: Annotated[Path | None, typer.Option("--to", help="Write it to this file instead", show_default=False)] = None,
) -> None:
    """Print the JSON Schema of suite files, for editors."""
    import json

    text = json.dumps(suite_schema(), indent=2) + "\n"
    if to is None:
        typer.echo(text, nl=False)
        return
    try:
        to.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{to}: cannot be written: {error.strerror}") from None


def _examined(suite: Suite, text: SuiteSource, path: Path) -> RowReport:
    """What a run would find in a dataset. Raises UserError when it could not start."""
    with planned_locally(suite, text, str(path.parent / SUITE_FILE), path) as planned:
        return report_rows(planned, path.name)


def _endpoint_warnings(suite: Suite) -> list[str]:
    """Endpoints that the suite names and this machine's settings lack; those of the workers may have them."""
    try:
        known = chosen_settings().endpoints
    except UserError as error:
        return [str(error)]
    named = sorted({name for model in suite.models for name in model.deployments})
    has = ", ".join(known) or "none"
    return [
        f"'{name}' names an endpoint that ASSAY_ENDPOINTS lacks here; workers need it. It has: {has}"
        for name in named
        if "@" in name and name.rpartition("@")[2] not in known
    ]


def _facts(suite: Suite, datasets: list[str]) -> dict[str, object]:
    return {
        "suite": suite.name,
        "experiments": [experiment.name for experiment in suite.ordered],
        "baseline": suite.baseline.name,
        "primary score": primary_score(suite) or "none",
        "columns used": sorted(columns_used(suite)),
        "datasets": datasets,
    }
