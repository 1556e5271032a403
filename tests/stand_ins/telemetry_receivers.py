"""Receives telemetry on 127.0.0.1 as a collector does (OTLP, protobuf) and as Azure Monitor does (`/v2.1/track`, JSON).

Keeps every byte that arrives, decompressed. `refuse` answers 503; `hold` keeps callers waiting until `close`.
"""

from __future__ import annotations

import gzip
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

INSIGHTS_KEY = "00000000-1111-2222-3333-444444444444"


class Receiver:
    """A running server."""

    def __init__(self) -> None:
        self.bodies: list[tuple[str, bytes]] = []
        self.refuse = self.hold = False
        self.calls = 0
        self._released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._answering())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def insights(self) -> str:
        """A connection string of Application Insights that leads here."""
        return f"InstrumentationKey={INSIGHTS_KEY};IngestionEndpoint={self.address}/;LiveEndpoint={self.address}/"

    @property
    def all_bytes(self) -> bytes:
        return b"\n".join(body for _, body in self.bodies)

    @property
    def spans(self) -> list[dict[str, Any]]:
        return [
            {
                "name": span.name,
                "trace": span.trace_id.hex(),
                "id": span.span_id.hex(),
                "parent": span.parent_span_id.hex(),
                "kind": span.kind,
                "seconds": (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                "failed": span.status.code == span.status.STATUS_CODE_ERROR,
                "service": _plain(each.resource.attributes)["service.name"],
                "instance": _plain(each.resource.attributes)["service.instance.id"],
                "attributes": _plain(span.attributes),
            }
            for body in self._of("/v1/traces")
            for each in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in each.scope_spans
            for span in scope.spans
        ]

    @property
    def logs(self) -> list[dict[str, Any]]:
        return [
            {
                "body": record.body.string_value,
                "severity": record.severity_text,
                "trace": record.trace_id.hex(),
                "span": record.span_id.hex(),
                "attributes": _plain(record.attributes),
            }
            for body in self._of("/v1/logs")
            for each in ExportLogsServiceRequest.FromString(body).resource_logs
            for scope in each.scope_logs
            for record in scope.log_records
        ]

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """By name: unit, kind, bounds, and the last points, each with its attributes; values are sums."""
        found: dict[str, dict[str, Any]] = {}
        for body in self._of("/v1/metrics"):
            for each in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for scope in each.scope_metrics:
                    found |= {metric.name: _metric(metric) for metric in scope.metrics}
        return found

    @property
    def envelopes(self) -> list[dict[str, Any]]:
        """What Azure Monitor got."""
        return [one for path, body in self.bodies if path.endswith("/track") for one in _json(body)]

    def close(self) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def _of(self, path: str) -> Iterator[bytes]:
        return (body for at, body in self.bodies if at == path)

    def _answering(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Answering(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.calls += 1
                if receiver.hold:
                    receiver._released.wait(60)
                if not receiver.refuse and not receiver.hold:
                    is_zipped = self.headers.get("Content-Encoding") == "gzip"
                    receiver.bodies.append((self.path, gzip.decompress(body) if is_zipped else body))
                self._reply(body)

            def _reply(self, body: bytes) -> None:
                count = body.count(b'"time"')
                said = json.dumps({"itemsReceived": count, "itemsAccepted": count, "errors": []}).encode()
                answer = said if self.path.endswith("/track") else b""
                self.send_response(503 if receiver.refuse or receiver.hold else 200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing."""

        return Answering


def _json(body: bytes) -> list[dict[str, Any]]:
    text = body.decode()
    return json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]


def _metric(metric: Any) -> dict[str, Any]:
    kind = metric.WhichOneof("data")
    points = getattr(metric, kind).data_points
    value = {"histogram": lambda one: one.sum}.get(kind, lambda one: one.as_int or one.as_double)
    return {
        "unit": metric.unit,
        "kind": kind,
        "points": [(value(one), _plain(one.attributes)) for one in points],
        "bounds": tuple(points[0].explicit_bounds) if kind == "histogram" else (),
    }


def _plain(attributes: Any) -> dict[str, Any]:
    return {one.key: _value(one.value) for one in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [_value(one) for one in value.array_value.values] if kind == "array_value" else getattr(value, kind)


if __name__ == "__main__":
    print(Receiver().address, flush=True)
    sys.stdin.read()
