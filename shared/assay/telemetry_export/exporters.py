"""Exporters for where the settings want telemetry: Azure Monitor, an OpenTelemetry collector, both, or none."""

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

from assay.errors import UserError
from assay.settings import Settings

if TYPE_CHECKING:
    from azure.identity import ManagedIdentityCredential

    from assay.telemetry_export.pipeline import Exporters

OTLP_PACKAGE = "opentelemetry-exporter-otlp-proto-http"
_CLIENT_ID = "ClientId="
# Azure Monitor's exporter would send figures about itself to Microsoft, and ask there how to be set up.
_SWITCHED_OFF = (
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED",
)


def is_wanted(settings: Settings) -> bool:
    """Whether telemetry goes anywhere but to the log. Raises UserError when a package for that is missing."""
    if settings.otlp_endpoint and not _is_installed("opentelemetry.exporter.otlp.proto.http"):
        raise UserError(
            f"OTEL_EXPORTER_OTLP_ENDPOINT is set, and the package {OTLP_PACKAGE} is not installed. "
            f"Install it (pip install {OTLP_PACKAGE}), or unset the variable."
        )
    return bool(settings.otlp_endpoint or settings.insights)


def open_exporters(settings: Settings) -> "Exporters":
    """Exporters for all that is set. Connects to nothing yet."""
    from assay.telemetry_export.pipeline import Exporters

    found = [_otlp(settings.otlp_endpoint)] if settings.otlp_endpoint else []
    if settings.insights:
        found.append(_azure_monitor(settings.insights.get_secret_value(), settings.insights_authentication))
    return Exporters(
        tuple(one for each in found for one in each.spans),
        tuple(one for each in found for one in each.metrics),
        tuple(one for each in found for one in each.logs),
    )


def _otlp(endpoint: str) -> "Exporters":
    """Headers, time limit and certificates are what the exporter's own variables (OTEL_EXPORTER_OTLP_...) say."""
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    from assay.telemetry_export.pipeline import Exporters

    return Exporters(
        (OTLPSpanExporter(f"{endpoint}/v1/traces"),),
        (OTLPMetricExporter(f"{endpoint}/v1/metrics"),),
        (OTLPLogExporter(f"{endpoint}/v1/logs"),),
    )


def _azure_monitor(connection_string: str, authentication: str | None) -> "Exporters":
    """Nothing is kept on disk: what cannot be sent is lost and counted."""
    for name in _SWITCHED_OFF:
        os.environ.setdefault(name, "true")
    from azure.monitor.opentelemetry.exporter import (
        AzureMonitorLogExporter,
        AzureMonitorMetricExporter,
        AzureMonitorTraceExporter,
    )

    from assay.telemetry_export.pipeline import Exporters

    credential = _credential(authentication) if authentication else None
    said = {"connection_string": connection_string, "credential": credential, "disable_offline_storage": True}
    return Exporters(
        (AzureMonitorTraceExporter(**said),), (AzureMonitorMetricExporter(**said),), (AzureMonitorLogExporter(**said),)
    )


def _credential(authentication: str) -> "ManagedIdentityCredential":
    """The identity of `Authorization=AAD` or `Authorization=AAD;ClientId=<id>`, as the Functions host reads it."""
    from azure.identity import ManagedIdentityCredential

    parts = authentication.split(";")
    client_id = next((one.removeprefix(_CLIENT_ID) for one in parts if one.startswith(_CLIENT_ID)), None)
    return ManagedIdentityCredential(client_id=client_id)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
