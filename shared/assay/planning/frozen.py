"""What a run has frozen: its header and its plan, read by everybody who works on it."""

from assay.run_records import Plan, RunHeader
from assay.storage import layout
from assay.storage.base import Blobs


async def read_header(blobs: Blobs, run: str) -> RunHeader:
    """The run's header. Raises BlobMissing."""
    return RunHeader.model_validate_json(await blobs.read(layout.header(run)))


async def read_plan(blobs: Blobs, run: str) -> Plan:
    """The run's plan. Raises BlobMissing before it is planned."""
    return Plan.model_validate_json(await blobs.read(layout.plan(run)))
