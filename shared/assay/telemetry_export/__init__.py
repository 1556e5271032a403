"""Sends spans, metrics and events to Azure Monitor or an OpenTelemetry collector, where settings name one."""
