"""Why a run was stopped: one small blob, of the worker that noticed first or a person, there until it is resumed.

Workers look for it before each chunk, the orchestrator when it counts.
"""

from datetime import datetime
from typing import Literal

from pydantic import ValidationError

from assay.budget.base import BudgetUsedUp
from assay.errors import BlobExists, BlobMissing, RunStopped
from assay.records import Record
from assay.storage import layout
from assay.storage.base import Blobs


class Stop(Record):
    """`budget`: the budget is used up. `hopeless`: no request can succeed; `message` says what a person can do.

    `asked`: a person stopped it.
    """

    reason: Literal["budget", "hopeless", "asked"]
    message: str
    at: datetime


async def write_stop(blobs: Blobs, run: str, stopped: RunStopped, at: datetime) -> None:
    """Marks the run as stopped by its workers; the first reason stays."""
    reason: Literal["budget", "hopeless"] = "budget" if isinstance(stopped, BudgetUsedUp) else "hopeless"
    await mark_stopped(blobs, run, Stop(reason=reason, message=str(stopped), at=at))


async def mark_stopped(blobs: Blobs, run: str, stop: Stop) -> None:
    """Marks the run as stopped; the first reason stays."""
    try:
        await blobs.write(layout.stop(run), stop.model_dump_json().encode())
    except BlobExists:
        return


async def read_stop(blobs: Blobs, run: str) -> Stop | None:
    """Why the run is stopped, or None. A marker that cannot be read stops it as well: somebody wanted that."""
    path = layout.stop(run)
    try:
        entry, content = await blobs.read_version(path)
    except BlobMissing:
        return None
    try:
        return Stop.model_validate_json(content)
    except ValidationError:
        message = f"The run was stopped, and {path}, which should say why, cannot be read"
        return Stop(reason="hopeless", message=message, at=entry.modified)


async def is_stopped(blobs: Blobs, run: str) -> bool:
    """Whether the run is stopped, from one small request."""
    return await blobs.find(layout.stop(run)) is not None
