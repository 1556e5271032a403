"""Opens a process's telemetry as its settings want it, and closes it at the end. `runtime.py` asks here.

Nothing of OpenTelemetry is loaded before there is something to send, and little of this room before it is wanted.
"""

import atexit
from typing import TYPE_CHECKING

from assay.settings import Settings
from assay.telemetry import LogTelemetry, Redact, Telemetry
from assay.telemetry_export.exporters import is_wanted, open_exporters

if TYPE_CHECKING:
    from assay.telemetry_export.exported import ExportedTelemetry
    from assay.telemetry_export.pipeline import Pipeline

_opened: "list[ExportedTelemetry]" = []


def open_telemetry(settings: Settings, redact: Redact, worker: str) -> Telemetry:
    """Telemetry of this process: to the log, and where the settings want it. Raises UserError."""
    log = LogTelemetry(redact=redact)
    if not is_wanted(settings):
        return log
    from assay.telemetry_export.exported import ExportedTelemetry

    # In Azure the Functions host sends a worker's log lines to Azure Monitor by itself.
    logs_events = not (settings.insights and settings.site_name)
    made = ExportedTelemetry(lambda: _pipeline(settings, worker), log, redact, settings.trace_share, logs_events)
    _opened.append(made)
    return made


def close_opened() -> None:
    """Sends what is left of all telemetry of this process; for its end, where no `atexit` runs."""
    while _opened:
        _opened.pop().close()


atexit.register(close_opened)


def _pipeline(settings: Settings, worker: str) -> "Pipeline":
    from assay.telemetry_export.pipeline import Pipeline

    return Pipeline(open_exporters(settings), {"service.name": settings.service_name, "service.instance.id": worker})
