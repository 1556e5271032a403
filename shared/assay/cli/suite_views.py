"""`assay suite show`, `assay suite diff`: what a suite became, where that comes from, and what changed in meaning."""

import difflib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from assay.cli.opened import opened
from assay.cli.shown import JsonFlag, print_json, print_table
from assay.cli.suites import ProfileOption, SuiteArgument, folder_of
from assay.errors import UserError
from assay.registry import did_you_mean
from assay.suite.folders import read_suite_folder
from assay.suite.origins import DEFAULT, SHARED, Difference, Setting, differences, settings_of
from assay.suite.resolution import ResolvedSuite

SHOWN_CHARACTERS = 60
ABSENT = "(absent)"

suite_app = typer.Typer(help="Look at suites: what they mean, and what changed.", no_args_is_help=True)
OtherSuite = Annotated[Path, typer.Argument(help="The suite to compare it with", exists=True, show_default=False)]


def register(app: typer.Typer) -> None:
    """Adds this family's commands."""
    suite_app.command()(show)
    suite_app.command()(diff)
    app.add_typer(suite_app, name="suite")


def show(
    suite: SuiteArgument,
    resolved: Annotated[bool, typer.Option("--resolved", help="Every value, and where it comes from")] = False,
    experiment: Annotated[
        str | None, typer.Option(help="Only this experiment's values; implies --resolved", show_default=False)
    ] = None,
    profile: ProfileOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Print the one file that would be deployed for a suite, or with --resolved every value with its origin."""
    found = opened(folder_of(suite), profile)
    if not (resolved or experiment):
        _print_text(found, as_json)
        return
    settings = settings_of(found.suite, found.source)
    if experiment is not None:
        settings = _of_experiment(settings, experiment)
    if as_json:
        print_json({"suite": found.suite.name, "settings": [_as_fields(one) for one in settings]})
        return
    for owner in dict.fromkeys(one.owner for one in settings):
        _print_settings(owner, [one for one in settings if one.owner == owner])


def diff(before: SuiteArgument, after: OtherSuite, profile: ProfileOption = "", as_json: JsonFlag = False) -> None:
    """Say what changed in meaning from one suite to another; comments, order and layout do not count.

    Only what is written is compared; Python code of programs and plugins is neither imported nor compared.
    """
    old, new = (read_suite_folder(folder_of(path)).resolve(profile, os.environ).suite for path in (before, after))
    found = differences(old, new)
    if as_json:
        print_json({"same": not found, "differences": [_as_fields(one) for one in found]})
        return
    if not found:
        typer.echo("Both mean the same.")
    for owner in dict.fromkeys(one.owner for one in found):
        _print_changes(owner, [one for one in found if one.owner == owner])


def _print_settings(owner: str, settings: list[Setting]) -> None:
    """A table; what nobody set, and is nothing without that, is left out."""
    said = [one for one in settings if one.origin != DEFAULT or one.value not in (None, [], {}, "")]
    print_table((_title(owner), "value", "from"), [(one.key, _short(one.value), one.origin) for one in said])
    typer.echo()


def _print_changes(owner: str, changes: list[Difference]) -> None:
    typer.secho(_title(owner) + _came_or_went(changes), bold=True)
    for one in changes:
        if isinstance(one.before, str) and isinstance(one.after, str) and "\n" in one.before + one.after:
            typer.echo(f"  {one.key}:")
            _print_lines(one.before, one.after)
        else:
            typer.echo(f"  {one.key}: {_short(one.before, ABSENT)} -> {_short(one.after, ABSENT)}")


def _came_or_went(changes: list[Difference]) -> str:
    """Every experiment says whether it is the baseline, so one side without that has no such experiment."""
    said = next((one for one in changes if one.key == "baseline" and one.owner != SHARED), None)
    if said is None or None not in (said.before, said.after):
        return ""
    return " (new)" if said.before is None else " (gone)"


def _print_lines(before: str, after: str) -> None:
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=1, lineterm=""))[2:]
    for line in lines:
        typer.secho(f"    {line}", fg={"+": "green", "-": "red"}.get(line[:1]))


def _of_experiment(settings: list[Setting], experiment: str) -> list[Setting]:
    known = list(dict.fromkeys(one.owner for one in settings if one.owner != SHARED))
    if experiment not in known:
        hint = did_you_mean(experiment, known)
        raise UserError(f"there is no experiment '{experiment}'{hint}. Experiments: {', '.join(known)}")
    return [one for one in settings if one.owner == experiment]


def _title(owner: str) -> str:
    return "suite" if owner == SHARED else f"experiment {owner}"


def _short(value: Any, nothing: str = "-") -> str:
    if value is None:
        return nothing
    if value == "":
        return '""'
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_CHARACTERS else f"{line[: SHOWN_CHARACTERS - 3]}..."


def _as_fields(one: Setting | Difference) -> dict[str, Any]:
    fields = asdict(one)
    owner = fields.pop("owner")
    return {"experiment": owner or None, **fields}


def _print_text(found: ResolvedSuite, as_json: bool) -> None:
    if as_json:
        print_json({"suite": found.suite.name, "text": found.text})
    else:
        typer.echo(found.text.rstrip("\n"))
