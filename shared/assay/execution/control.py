"""Which experiments of a run early stop has settled: one small blob that only grows.

The orchestrator writes it; workers look before each chunk of a run that may end early, and leave what was settled.
"""

from collections.abc import Sequence

from pydantic import ValidationError

from assay.errors import BlobChanged, BlobExists, BlobMissing
from assay.records import Record
from assay.run_records import Plan
from assay.scoring.early_stop.base import Settled
from assay.storage import layout
from assay.storage.base import Blobs


class Control(Record):
    """The settled variants, in the order in which they were settled."""

    settled: tuple[Settled, ...] = ()

    def find(self, experiment: str) -> Settled | None:
        """How a variant was settled, or None while it is asked."""
        return next((one for one in self.settled if one.experiment == experiment), None)

    def over(self, plan: Plan) -> frozenset[str]:
        """Experiments of which no more chunks are begun: settled variants, and the baseline once all of them are."""
        settled = frozenset(one.experiment for one in self.settled)
        baseline, *variants = plan.experiments
        return settled | {baseline} if settled.issuperset(variants) else settled


async def read_control(blobs: Blobs, run: str) -> Control:
    """What was settled so far. What cannot be read counts as nothing: the next look settles it again."""
    try:
        return _read(await blobs.read(layout.control(run)))
    except BlobMissing:
        return Control()


async def settle(blobs: Blobs, run: str, found: Sequence[Settled]) -> Control:
    """Adds variants that were not settled before, and gives all; the first finding of a variant stays."""
    path = layout.control(run)
    while True:
        try:
            entry, content = await blobs.read_version(path)
        except BlobMissing:
            control = _with(Control(), found)
            try:
                await blobs.write(path, control.model_dump_json().encode())
            except BlobExists:
                continue
            return control
        control = _with(_read(content), found)
        try:
            await blobs.replace(path, control.model_dump_json().encode(), etag=entry.etag)
        except BlobChanged:
            continue
        return control


def _read(content: bytes) -> Control:
    try:
        return Control.model_validate_json(content)
    except ValidationError:
        return Control()


def _with(control: Control, found: Sequence[Settled]) -> Control:
    added = [one for one in found if control.find(one.experiment) is None]
    return Control(settled=(*control.settled, *added))
