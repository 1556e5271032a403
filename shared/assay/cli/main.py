"""The `assay` command: puts the families together and turns errors into sentences and exit codes."""

import json
import sys

import typer

from assay import __version__
from assay.cli import bundles, cache, doctor, estimate, local, plugins, quota, runs, suite_views, suites
from assay.cli.shown import wants_json
from assay.errors import EXIT_OK, EXIT_USER, AssayError

EPILOG = (
    "Exit codes: 0 ok, 1 the run or the check failed, 2 your input is wrong, 3 an outside service failed,"
    " 130 after Ctrl-C."
)
INTERRUPTED = 130

app = typer.Typer(
    name="assay",
    help="LLM experiments as a batch job: drop a file, get a signed bundle.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for family in (local, runs, bundles, suites, suite_views, estimate, quota, cache, plugins, doctor):
    family.register(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"assay {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Show the version"),
) -> None:
    pass


def main() -> None:
    """Entry point of the `assay` script."""
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    try:
        code: int = app(arguments, standalone_mode=False) or EXIT_OK
    except AssayError as error:
        _complain(str(error), error.exit_code)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except OSError as error:
        _complain(f"{error.filename or 'a file'}: {error.strerror or error}", EXIT_USER)
        return EXIT_USER
    except Exception as error:
        # Usage errors: Typer brings its own copy of Click, whose classes have no public name.
        show = getattr(error, "show", None)
        if show is None:
            raise
        if wants_json():
            _complain(str(getattr(error, "message", error)), EXIT_USER)
        else:
            show()
        return EXIT_USER
    if code == INTERRUPTED:
        typer.echo("Stopped.", err=True)
    return code


def _complain(message: str, code: int) -> None:
    if wants_json():
        typer.echo(json.dumps({"error": message, "exit_code": code}, ensure_ascii=False))
    else:
        typer.secho("Error: ", fg="red", bold=True, nl=False, err=True)
        typer.echo(message, err=True)
