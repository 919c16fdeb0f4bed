"""A collector of traces: takes OTLP over HTTP as protobuf, and keeps the spans."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """``url`` is what the service is told; ``bodies`` are what arrived, as sent."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v1/traces"
        self.bodies: list[bytes] = []
        self._arrived = threading.Condition()

    def take(self, body: bytes) -> None:
        """Keep one export."""
        with self._arrived:
            self.bodies.append(body)
            self._arrived.notify_all()

    def spans(self) -> list[Span]:
        """Everything that has arrived."""
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        scopes = [
            scope for request in requests for each in request.resource_spans for scope in each.scope_spans
        ]
        return [span for scope in scopes for span in scope.spans]

    def wait(self, enough: Callable[[list[Span]], bool], timeout_s: float = 60) -> list[Span]:
        """The spans, once there are enough."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: enough(self.spans()), timeout_s):
                raise TimeoutError(f"only {[span.name for span in self.spans()]} arrived")
            return self.spans()


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that listens until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.take(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Tests print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(server.server_port)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
