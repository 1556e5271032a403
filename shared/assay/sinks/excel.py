"""The Excel sink: a run's workbook on this machine or a mounted share, for those who open nothing else."""

import asyncio
import filecmp
import shutil
from pathlib import Path

from assay.errors import ServiceError, UserError
from assay.sinks.base import Bundle, Receipt
from assay.sinks.placing import put_in_place
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
            await asyncio.to_thread(_put, workbook, target)
        except OSError as error:
            raise ServiceError(f"{target} cannot be written: {error.strerror}") from error
        return Receipt(sink=self.name, location=str(target), manifest_sha256=bundle.manifest_sha256, files=1)

    async def close(self) -> None:
        """There is nothing to close."""

    def _target(self, bundle: Bundle) -> Path:
        return self._root / bundle.suite / f"{bundle.file_name}.xlsx"


def _workbook(bundle: Bundle) -> Path:
    workbook = bundle.folder / REPORT_XLSX
    if not workbook.is_file():
        raise UserError(
            f"{bundle.title} has no {REPORT_XLSX}: openpyxl was not installed where the report was made. Install"
            " assay-batch[xlsx] there for the next run, or take the sink away"
        )
    return workbook


def _put(workbook: Path, target: Path) -> None:
    def is_there() -> bool:
        return target.is_file() and filecmp.cmp(workbook, target, shallow=False)

    def copy(draft: Path) -> None:
        shutil.copyfile(workbook, draft)

    put_in_place(target, copy, unless=is_there)
