"""`assay fetch`, `assay verify`: bundles, once a run has ended."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from assay.cli.connection import with_runtime
from assay.cli.runs import RunArgument
from assay.cli.shown import JsonFlag, print_json
from assay.errors import EXIT_FAILED, EXIT_OK, CheckFailed, UserError
from assay.orchestration.drops import fetch_bundle
from assay.provenance.verification import Verification, verify_bundle


def register(app: typer.Typer) -> None:
    """Adds this family's commands."""
    app.command()(fetch)
    app.command()(verify)


def fetch(
    run: RunArgument,
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder to put it in; default: ./<run>", show_default=False)
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Download a run's published bundle into a new folder."""
    folder = to or Path(run)
    files = with_runtime(lambda runtime: fetch_bundle(runtime.storage, run, folder))
    if as_json:
        print_json({"run": run, "folder": str(folder), "files": files})
    else:
        typer.echo(f"{len(files)} files in {folder}")


def verify(
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle", show_default=False)],
    key: Annotated[
        Path | None,
        typer.Option(
            "--key", help="Public key (PEM) that you trust; without it only integrity is checked", show_default=False
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Check a bundle's signature and every file in it. Needs neither network nor Azure. Exit code 1 when it fails."""
    if not bundle.is_dir():
        raise UserError(f"{bundle} is not a folder; expected a bundle's folder, with a manifest.json in it")
    found = verify_bundle(bundle, _read(key) if key else None)
    if as_json:
        print_json(
            {
                "ok": found.ok,
                "meaning": found.meaning,
                "key": found.key_id,
                "findings": [asdict(one) for one in found.findings],
            }
        )
        raise typer.Exit(EXIT_OK if found.ok else EXIT_FAILED)
    _print(found)
    if not found.ok:
        raise CheckFailed(f"{bundle} does not verify")


def _print(found: Verification) -> None:
    if found.ok and found.manifest:
        typer.secho("signature verified", fg="green", bold=True)
        typer.echo(
            f"run       {found.manifest.run}\nartifacts {len(found.manifest.artifacts)}\nkey       {found.key_id}"
        )
        typer.echo(f"meaning   {found.meaning}")
    for finding in found.findings:
        typer.secho(f"{finding.path}: {finding.message}", fg="red")


def _read(key: Path) -> bytes:
    try:
        return key.read_bytes()
    except OSError as error:
        raise UserError(f"{key}: the public key cannot be read: {error.strerror}") from None
