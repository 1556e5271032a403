"""What commands print: tables for people, or one JSON document with `--json`. Progress goes to standard error."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

WIDEST = 100_000
JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text")]


def wants_json() -> bool:
    """Whether this command line asks for JSON; errors then come as JSON too."""
    return "--json" in sys.argv


def console() -> Console:
    """For results."""
    return Console(highlight=False, soft_wrap=True)


def progress_console() -> Console:
    """For what passes by while a command runs; never mixed into results."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, default=str))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str | None = None) -> None:
    """A table; columns whose cells all read as numbers stand to the right. Cells are text, never markup."""
    table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for index, column in enumerate(columns):
        is_number = all(_is_number(str(row[index])) for row in rows)
        is_last = index == len(columns) - 1
        table.add_column(column, justify="right" if is_number else "left", overflow="fold", no_wrap=not is_last)
    for row in rows:
        table.add_row(*(_plain(str(cell)) for cell in row))
    screen = console()
    needed = Measurement.get(screen, screen.options.update(max_width=WIDEST), table)
    # Too long a line is the lesser evil: Rich would cut names and numbers without a sign.
    screen.width = max(screen.width, needed.minimum) if screen.is_terminal else needed.maximum
    screen.print(table)


def print_facts(facts: Mapping[str, object]) -> None:
    """Names and values, one a line."""
    width = max(map(len, facts))
    for name, value in facts.items():
        console().print(f"{name:<{width}}  {_plain(str(value))}")


def _plain(text: str) -> str:
    """Text that the terminal and Rich show as it is."""
    printable = "".join(
        character if character.isprintable() or character == "\n" else "\N{REPLACEMENT CHARACTER}" for character in text
    )
    return printable.replace("[", "\\[")


def _is_number(text: str) -> bool:
    return (bool(text) and text[0] in "+-−<0123456789.$") or text in ("", "-")
