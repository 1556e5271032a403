"""`assay plugins`, `assay plugins show`, `assay new`: what suites can name, and beginnings of a plugin of your own."""

from pathlib import Path
from typing import Annotated, Any

import typer

from assay.cli.scaffold import ScaffoldKind, write_scaffold
from assay.cli.shown import JsonFlag, console, print_json, print_table
from assay.errors import UserError
from assay.planning.plugin_catalogue import BUILT_IN, Description, all_plugins, plugins_named

plugins = typer.Typer(help="Show the plugins that suites can name: built in and installed.", no_args_is_help=False)


def register(app: typer.Typer) -> None:
    """Adds this family's commands."""
    plugins.callback(invoke_without_command=True)(list_plugins)
    plugins.command()(show)
    app.add_typer(plugins, name="plugins")
    app.command()(new)


def list_plugins(context: typer.Context, as_json: JsonFlag = False) -> None:
    """List every plugin, by kind: its name, what it is for, and which distribution it comes from."""
    if context.invoked_subcommand is not None:
        return
    found = all_plugins()
    if as_json:
        print_json({"plugins": [_facts(one) for one in found]})
        return
    print_table(("kind", "name", "from", "what it does"), [(one.kind, one.name, one.origin, one.line) for one in found])


def show(
    name: Annotated[str, typer.Argument(help="A plugin, as suites name it", show_default=False)],
    as_json: JsonFlag = False,
) -> None:
    """Show what a plugin does, its options and an example; all of that name, where kinds share one."""
    try:
        found = plugins_named(name)
    except LookupError as error:
        raise UserError(str(error.args[0])) from None
    if as_json:
        print_json({"plugins": [{**_facts(one), **_details(one)} for one in found]})
        return
    for index, one in enumerate(found):
        _print(one, after=index > 0)


def new(
    kind: Annotated[ScaffoldKind, typer.Argument(help="What the plugin is to be")],
    name: Annotated[str, typer.Argument(help="Its name, as suites will name it", show_default=False)],
    folder: Annotated[Path, typer.Option("--folder", help="Where its own folder is made")] = Path(),
    as_json: JsonFlag = False,
) -> None:
    """Write a plugin of your own to start from: a package with options, a test and a page on how to use it."""
    made = write_scaffold(kind, name, folder)
    if as_json:
        print_json({"folder": str(made.folder), "files": [str(one) for one in made.files]})
        return
    typer.echo(f"Made {made.folder} with {', '.join(one.name for one in made.files)}.")
    typer.echo(f"Next: pip install -e {made.folder}, then: assay plugins show {name}")


def _facts(one: Description) -> dict[str, Any]:
    return {"kind": one.kind, "name": one.name, "from": one.origin, "summary": one.line, "usable": one.problem is None}


def _details(one: Description) -> dict[str, Any]:
    options = [
        {"name": option.name, "type": option.type, "default": option.default, "description": option.description}
        for option in one.options
    ]
    return {"docs": one.docs, "options": options, "example": one.example}


def _print(one: Description, *, after: bool) -> None:
    screen = console()
    if after:
        typer.echo("")
    origin = "" if one.origin == BUILT_IN else f", from {one.origin}"
    typer.secho(f"{one.name} ({one.kind}{origin})", bold=True)
    typer.echo(one.problem or one.docs)
    if one.options:
        typer.echo("")
        rows = [(each.name, each.type, each.default or "must be given", each.description) for each in one.options]
        print_table(("option", "type", "default", "what it says"), rows)
    if one.example:
        typer.echo("")
        screen.print(one.example.rstrip(), markup=False)
