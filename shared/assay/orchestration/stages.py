"""Marks how far a run has come after its last outcome. The finishing and publishing steps call it."""

from datetime import datetime

from assay.execution.control import Control, read_control
from assay.orchestration.budgets import terms_of
from assay.orchestration.progress import count_progress, early_stop_notice, with_message, write_progress
from assay.run_records import Plan, Progress, RunHeader, Stage
from assay.storage.base import Storage
from assay.suite.models import Suite


async def mark_stage(
    storage: Storage, header: RunHeader, plan: Plan, stage: Stage, now: datetime, notice: str = ""
) -> Progress:
    """Writes `progress.json` with what people should know: a soft budget exceeded, an early stop, and a notice.

    Returns what it wrote.
    """
    progress = await count_progress(storage, header, plan, stage, now)
    terms = terms_of(Suite.model_validate(header.suite))
    control = await read_control(storage, plan.run) if plan.early_stop else Control()
    spent = terms.notice(progress.tally.cost_usd) if terms else ""
    progress = with_message(progress.model_copy(update={"message": spent}), early_stop_notice(control))
    progress = with_message(progress, notice)
    await write_progress(storage, progress)
    return progress
