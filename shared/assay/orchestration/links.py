"""Time-limited links to published bundles, for those who have no account. `assay link` makes them."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from assay.errors import BlobMissing, UserError
from assay.provenance.manifest import read_manifest
from assay.storage import layout
from assay.storage.base import Storage
from assay.storage.bundle_names import MANIFEST_NAME
from assay.suite.levels import Level, highest, is_above

MOST_HOURS = 167
"""Storage grants an identity seven days by its own clock, and refuses a second more with a riddle."""

_CLOCKS_APART = timedelta(minutes=15)


@dataclass(frozen=True)
class BundleLink:
    """An address of a bundle's zip. Whoever has it can read the bundle until `ends_at`."""

    url: str
    ends_at: datetime
    level: Level


async def bundle_link(storage: Storage, run: str, hours: float, clearance: Level, at: datetime) -> BundleLink:
    """A link to the zip of a run's bundle, for so many hours from `at`.

    Raises UserError for a run without one, for more hours than storage grants, and for a bundle above the clearance.
    """
    if not 0 < hours <= MOST_HOURS:
        raise UserError(f"a link cannot last {hours:g} hours; expected more than 0 and at most {MOST_HOURS}")
    path = layout.archived(run)
    if await storage.find(path) is None:
        raise UserError(
            f"there is no {path}: the suite of '{run}' does not ask for a zip, or the run is not published. "
            "Its sinks need {plugin: blob, archive: true}"
        )
    level = await _level_of(storage, run)
    if is_above(level, clearance):
        raise UserError(
            f"the bundle of '{run}' is {level}, and a link gives it to whoever has it; "
            f"if that is meant, say --clearance {level}"
        )
    ends_at = at + timedelta(hours=hours)
    return BundleLink(await storage.link(path, at - _CLOCKS_APART, ends_at), ends_at, level)


async def _level_of(storage: Storage, run: str) -> Level:
    try:
        manifest = read_manifest(await storage.read(layout.published(run) + MANIFEST_NAME))
    except BlobMissing:
        raise UserError(f"run '{run}' is not published yet; 'assay show {run}' says where it stands") from None
    return highest(one.level for one in manifest.artifacts)
