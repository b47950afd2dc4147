"""A collector of OpenTelemetry's protocol for tests: takes traces and metrics, by HTTP and by gRPC."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_METRICS_METHOD = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
_TRACES_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class Collector:
    """What was received.

    Attributes:
        spans: all spans, as the protocol has them.
        services: the service names that they came from.
        metrics: the names of all metrics.
        metric_exports: how often they came.
        headers: of the last request, names in lower case.
        http_url, grpc_url: where it listens.
    """

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.services: set[str] = set()
        self.metrics: set[str] = set()
        self.metric_exports = 0
        self.headers: dict[str, str] = {}
        self.http_url = ""
        self.grpc_url = ""

    def take_traces(self, body: bytes) -> None:
        """Takes one export of spans."""
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            for attribute in resource.resource.attributes:
                if attribute.key == "service.name":
                    self.services.add(attribute.value.string_value)
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)

    def take_metrics(self, body: bytes) -> None:
        """Takes one export of metrics."""
        self.metric_exports += 1
        request = ExportMetricsServiceRequest.FromString(body)
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                self.metrics.update(metric.name for metric in scope.metrics)

    def named(self, name: str) -> list[Any]:
        """The spans of a name."""
        return [span for span in self.spans if span.name == name]


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on free ports while the block runs."""
    collector = Collector()
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(collector))
    threading.Thread(target=http.serve_forever, daemon=True).start()
    rpc = grpc.server(ThreadPoolExecutor(max_workers=2))
    rpc.add_generic_rpc_handlers((_Methods(collector),))
    port = rpc.add_insecure_port("127.0.0.1:0")
    rpc.start()
    collector.http_url = f"http://127.0.0.1:{http.server_address[1]}"
    collector.grpc_url = f"http://127.0.0.1:{port}"
    try:
        yield collector
    finally:
        rpc.stop(None).wait()
        http.shutdown()
        http.server_close()


def _handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            collector.headers = {name.lower(): value for name, value in self.headers.items()}
            takers = {"/v1/traces": collector.take_traces, "/v1/metrics": collector.take_metrics}
            taker = takers.get(self.path)
            if taker is not None:
                taker(body)
            self.send_response(200 if taker else 404)
            self.send_header("Content-Type", "application/x-protobuf")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    return Handler


class _Methods(grpc.GenericRpcHandler):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._takers = {_METRICS_METHOD: collector.take_metrics, _TRACES_METHOD: collector.take_traces}

    def service(self, handler_call_details: Any) -> Any:
        taker = self._takers.get(handler_call_details.method)
        if taker is None:
            return None

        def export(body: bytes, context: Any) -> bytes:
            self._collector.headers = dict(context.invocation_metadata())
            taker(body)
            return b""  # an answer without a word: all was taken

        return grpc.unary_unary_rpc_method_handler(export)
