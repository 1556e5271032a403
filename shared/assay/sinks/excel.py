"""The Excel sink: a run's workbook on this machine or a mounted share, for those who open nothing else."""

import asyncio
import filecmp
import shutil
from pathlib import Path

from assay.errors import ServiceError, UserError
from assay.sinks.base import Bundle, Receipt
from assay.sinks.lock import alone
from assay.storage.bundle_names import REPORT_XLSX
from assay.suite.levels import Level
from assay.suite.sink_options import ExcelOptions


class ExcelSink:
    """Puts workbooks under `root`, which the settings name: a suite says only what happens below it."""

    def __init__(self, options: ExcelOptions, root: Path) -> None:
        self._options, self._root = options, root

    @property
    def name(self) -> str:
        return self._options.name or "excel"

    @property
    def clearance(self) -> Level:
        return self._options.clearance

    async def preview(self, bundle: Bundle) -> tuple[str, ...]:
        try:
            size = _workbook(bundle).stat().st_size
        except UserError as error:
            return (f"nothing: {error}",)
        return (f"workbook {self._target(bundle)} ({size} bytes)",)

    async def publish(self, bundle: Bundle) -> Receipt:
        workbook, target = _workbook(bundle), self._target(bundle)
        try:
            await asyncio.to_thread(_write, workbook, target)
        except OSError as error:
            raise ServiceError(f"{target} cannot be written: {error.strerror}") from error
        return Receipt(sink=self.name, location=str(target), manifest_sha256=bundle.manifest_sha256, files=1)

    async def close(self) -> None:
        """There is nothing to close."""

    def _target(self, bundle: Bundle) -> Path:
        name = f"{bundle.run}.{bundle.view}" if bundle.view else bundle.run
        return self._root / bundle.suite / f"{name}.xlsx"


def _workbook(bundle: Bundle) -> Path:
    workbook = bundle.folder / REPORT_XLSX
    if not workbook.is_file():
        raise UserError(
            f"{bundle.title} has no {REPORT_XLSX}: openpyxl was not installed where the report was made. Install"
            " assay-batch[xlsx] there for the next run, or take the sink away"
        )
    return workbook


def _write(workbook: Path, target: Path) -> None:
    """Copies it beside its place and renames it, so that nobody opens half of it. The same one is left alone."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.draft")
    with alone(target.with_name(f".{target.name}.lock")):
        draft.unlink(missing_ok=True)  # an earlier death left it
        if target.is_file() and filecmp.cmp(workbook, target, shallow=False):
            return
        try:
            shutil.copyfile(workbook, draft)
        except OSError:  # a full disk must not be filled with half a workbook
            draft.unlink(missing_ok=True)
            raise
        draft.replace(target)
