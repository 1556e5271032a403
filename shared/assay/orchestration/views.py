"""Makes and keeps the redacted views of a run's bundle. The seal step calls it; publishing reads what it keeps."""

import asyncio
import hashlib
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from assay.errors import BlobExists, BlobMissing, CheckFailed
from assay.orchestration.scratch import scratch_folder
from assay.orchestration.statements import view_statement
from assay.provenance.bundle import Statement, seal_folder
from assay.provenance.signing import HmacSigner, Signer
from assay.sinks.base import Bundle
from assay.storage import layout
from assay.storage.base import Storage
from assay.storage.bundle_names import ALL_SEAL_NAMES, MANIFEST_NAME
from assay.suite.models import Suite
from assay.suite.sink_options import SINKS, sink_name

KEY_BYTES = 32


@dataclass(frozen=True)
class WholeBundle:
    """The bundle that views are made of: sealed, in a folder. `statement` is what its seal says."""

    folder: Path
    manifest_sha256: str
    statement: Statement
    suite: Suite


def views_of_sinks(suite: Suite) -> dict[str, str]:
    """Which view goes to a sink, by the sink's name; the others get the whole bundle."""
    made = [(one.plugin, SINKS.make(one.plugin, one.options)) for one in suite.sinks]
    return {sink_name(plugin, options): options.view for plugin, options in made if options.view}


async def refuse_other(storage: Storage, view: Bundle) -> None:
    """Raises CheckFailed for a view that is not there, or that was made of what the run's bundle once was."""
    if not (view.folder / MANIFEST_NAME).exists():
        raise CheckFailed(f"{view.title} is not there: the run was not sealed to the end")
    try:
        whole = hashlib.sha256(await storage.read(layout.bundle(view.run) + MANIFEST_NAME)).hexdigest()
    except BlobMissing as error:
        raise CheckFailed(f"{view.title} is of a bundle that has no manifest") from error
    said = view.manifest.provenance.get("view")
    if not isinstance(said, Mapping) or said.get("of") != whole:
        raise CheckFailed(f"{view.title} is of another bundle than the one there: the run was not sealed to the end")


async def keep_views(storage: Storage, whole: WholeBundle, signer: Signer | HmacSigner) -> None:
    """Writes and seals every view of the suite. Again it writes the same files: the key of a run stays the same."""
    from assay.reporting import redacted_bundle  # pyarrow comes with it: only suites with views pay for it

    if not whole.suite.views:
        return
    key = await _key(storage, whole.statement.run)
    for view in whole.suite.views:
        with scratch_folder() as folder:
            redaction = await asyncio.to_thread(
                redacted_bundle.write_view, whole.folder, view, whole.suite.level, key, folder
            )
            statement = view_statement(whole.statement, whole.manifest_sha256, view, redaction.columns, folder)
            await seal_folder(folder, statement, signer)
            await _keep(storage, layout.view(whole.statement.run, view.name), folder)


async def _key(storage: Storage, run: str) -> bytes:
    """The run's own key, made by whoever comes first."""
    path = layout.view_key(run)
    with suppress(BlobExists):
        await storage.write(path, secrets.token_bytes(KEY_BYTES))
    return await storage.read(path)


async def _keep(storage: Storage, prefix: str, folder: Path) -> None:
    """The folder's files in storage, the seal last, and nothing else beside them."""
    names = sorted((path.name for path in folder.iterdir()), key=lambda name: (name in ALL_SEAL_NAMES, name))
    for name in names:
        await storage.upload(prefix + name, folder / name)
    stale = [one.path async for one in storage.list(prefix) if one.path.removeprefix(prefix) not in names]
    for path in stale:
        await storage.delete(path)
