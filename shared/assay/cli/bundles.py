"""`assay fetch`, `assay verify`, `assay publish`, `assay link`: bundles, once a run has ended."""

import asyncio
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from assay.cli.connection import with_runtime
from assay.cli.runs import RunArgument
from assay.cli.shown import JsonFlag, print_json
from assay.errors import EXIT_FAILED, EXIT_OK, CheckFailed, UserError
from assay.orchestration.drops import fetch_bundle
from assay.orchestration.links import bundle_link
from assay.provenance.files import bundle_files
from assay.provenance.trust import Trust
from assay.provenance.verification import Verification, verify_files
from assay.runtime import now
from assay.settings import Settings
from assay.storage.bundle_names import MANIFEST_NAME
from assay.suite.levels import LEVELS


def register(app: typer.Typer) -> None:
    """Adds this family's commands."""
    app.command()(fetch)
    app.command()(verify)
    app.command()(publish)
    app.command()(link)


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


MOST_FINDINGS_SHOWN = 50

SinkOption = Annotated[
    str | None, typer.Option("--sink", help="Only this sink of the suite; absent: all", show_default=False)
]


def publish(
    run: RunArgument,
    sink: SinkOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing")] = False,
    again: Annotated[bool, typer.Option("--again", help="Also to sinks that have this bundle already")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Publish a run's bundle to the sinks of its suite that have not got it. Exit code 1 when one did not take it."""
    if dry_run:
        _print_preview(with_runtime(lambda runtime: runtime.publishing.preview(run, sink)), as_json)
        return
    found = with_runtime(lambda runtime: runtime.publishing.publish_again(run, sink, anew=again))
    failed = [one.sink for one in found if one.problem]
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
        raise typer.Exit(EXIT_FAILED if failed else EXIT_OK)
    for one in found:
        place = one.receipt.location if one.receipt else one.problem
        typer.secho(f"{one.sink:<14} {place}", fg="red" if one.problem else None)
    if failed:
        raise CheckFailed(f"{', '.join(failed)} did not take the bundle of {run}; once mended: assay publish {run}")


def link(
    run: RunArgument,
    hours: Annotated[float, typer.Option("--hours", help="How long it works, at most 167")] = 24,
    clearance: Annotated[
        str, typer.Option("--clearance", help="The highest level that may be given to whoever has the link")
    ] = "internal",
    as_json: JsonFlag = False,
) -> None:
    """Make a link to the zip of a run's bundle, for those without an account. It cannot be taken back."""
    if clearance not in LEVELS:
        raise UserError(f"'{clearance}' is no level; expected one of {', '.join(LEVELS)}")
    made = with_runtime(lambda runtime: bundle_link(runtime.storage, run, hours, clearance, now()))
    if as_json:
        print_json({"run": run, "url": made.url, "ends_at": made.ends_at.isoformat(), "level": made.level})
        return
    typer.echo(made.url)
    until = f"{made.ends_at:%Y-%m-%d %H:%M} UTC"
    typer.secho(f"anybody who has it can read the bundle ({made.level}) until {until}", err=True)


def _print_preview(lines: Mapping[str, tuple[str, ...]], as_json: bool) -> None:
    if as_json:
        print_json(lines)
        return
    for name, of_sink in lines.items():
        typer.secho(name, bold=True)
        for line in of_sink:
            typer.echo(f"  {line}")


KeyOption = Annotated[
    list[Path] | None,
    typer.Option("--key", help="Public key (PEM) that you trust; may be given several times", show_default=False),
]
KeyringOption = Annotated[
    Path | None,
    typer.Option("--keyring", help="File with the public keys that you trust, old ones too", show_default=False),
]
VaultOption = Annotated[
    str | None,
    typer.Option("--keyvault", help="Key in Azure Key Vault that you trust, by its address", show_default=False),
]
SecretOption = Annotated[
    Path | None,
    typer.Option("--hmac-secret", help="File with the secret of a bundle sealed with one", show_default=False),
]


def verify(
    bundle: Annotated[str, typer.Argument(help="Bundle: a folder, a zip, or the address of either")],
    key: KeyOption = None,
    keyring: KeyringOption = None,
    keyvault: VaultOption = None,
    hmac_secret: SecretOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Check a bundle's signatures and every file in it; without a key only its integrity. Exit code 1 when it fails.

    Needs neither network nor Azure, but for an address and for --keyvault.
    """
    pems = [_read(file) for file in [*(key or []), *([keyring] if keyring else [])]]
    if keyvault:
        pems.append(asyncio.run(_key_of_vault(keyvault)))
    trust = Trust.of(pems, _read(hmac_secret).strip() if hmac_secret else None)
    found = _verified(bundle, trust)
    if as_json:
        print_json(
            {
                "ok": found.ok,
                "meaning": found.meaning,
                "key": found.key_id,
                "findings": [asdict(one) for one in found.findings],
                "statement": found.statement if found.ok else None,
            }
        )
        raise typer.Exit(EXIT_OK if found.ok else EXIT_FAILED)
    _print(found)
    if not found.ok:
        raise CheckFailed(f"{bundle.partition('?')[0]} does not verify")


def _verified(bundle: str, trust: Trust) -> Verification:
    if "://" in bundle:
        from assay.provenance.remote import fetch_bundle as download_bundle

        with tempfile.TemporaryDirectory(prefix="assay-verify-") as folder:
            return verify_files(bundle_files(download_bundle(bundle, Path(folder))), trust)
    place = Path(bundle)
    if not place.exists():
        raise UserError(f"{place} is not there; expected a bundle: a folder with a {MANIFEST_NAME} in it, or a zip")
    return verify_files(bundle_files(place), trust)


async def _key_of_vault(address: str) -> bytes:
    from assay.provenance.key_vault import read_public_key

    async with Settings.load().credential() as credential:
        return await read_public_key(address, credential)


def _print(found: Verification) -> None:
    if found.ok and found.manifest:
        typer.secho("signature verified", fg="green", bold=True)
        typer.echo(
            f"run       {found.manifest.run}\nartifacts {len(found.manifest.artifacts)}\nkey       {found.key_id}"
        )
        for name, text in _told(found.statement):
            typer.echo(f"{name:<9} {text}")
        typer.echo(f"meaning   {found.meaning}")
    for finding in found.findings[:MOST_FINDINGS_SHOWN]:
        typer.secho(str(finding), fg="red")
    if (more := len(found.findings) - MOST_FINDINGS_SHOWN) > 0:
        typer.secho(f"and {more} more findings; --json tells all", fg="red")


def _told(statement: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    """What the signed provenance says of where the results come from, a line each."""
    if statement is None:
        return
    for one in statement.get("predicate", {}).get("buildDefinition", {}).get("resolvedDependencies", []):
        digest = next(iter(one.get("digest", {}).values()), "")
        yield ascii(one.get("name", ""))[1:-1], ascii(f"{one.get('uri', '')} {digest}".strip())[1:-1]


def _read(key: Path) -> bytes:
    try:
        return key.read_bytes()
    except OSError as error:
        raise UserError(f"{key}: the key cannot be read: {error.strerror}") from None
