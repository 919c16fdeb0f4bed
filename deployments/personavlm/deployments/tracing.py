"""Traces for OpenTelemetry, where ``service.otlp_endpoint`` is set; without it every span is a no-op.

Spans carry ids, names and numbers, never texts, and of an exception nothing but its kind.
"""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager

from opentelemetry.context import Context
from opentelemetry.trace import NoOpTracer, Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from personavlm.deployments import origins
from personavlm.deployments.origins import Origin
from personavlm.platform.config import ServiceConfig
from personavlm.platform.engines.around import EngineAround
from personavlm.platform.engines.base import Chunk, Conversation, Sampling
from personavlm.platform.errors import EngineError

_EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
_w3c = TraceContextTextMapPropagator()
_tracer: Tracer = NoOpTracer()


def missing(service: ServiceConfig) -> str:
    """What keeps the configured traces from being sent; empty where nothing does."""
    if service.otlp_endpoint is None or _installed(_EXPORTER):
        return ""
    return "service.otlp_endpoint needs the exporter: pip install 'personavlm[otel]', or leave the field out"


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of a package above it
        return False


def configure(service: ServiceConfig) -> None:
    """Send this process's spans to the configured endpoint, if there is one."""
    global _tracer
    if service.otlp_endpoint is None:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": "personavlm"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=service.otlp_endpoint)))
    _tracer = provider.get_tracer("personavlm")


@contextmanager
def span(name: str, parent: str = "", kind: SpanKind = SpanKind.INTERNAL) -> Iterator[Span]:
    """A span until the block ends, below the one around it or below ``parent``, a ``traceparent``."""
    with _tracer.start_as_current_span(
        name, _context(parent), kind, record_exception=False, set_status_on_exception=False
    ) as opened:
        try:
            yield opened
        except BaseException as error:  # cancellation too ends a span; it is raised again
            opened.set_status(StatusCode.ERROR, type(error).__name__)
            raise


def traceparent() -> str:
    """Where the trace stands, for another process; empty where nothing is traced."""
    carrier: dict[str, str] = {}
    _w3c.inject(carrier)
    return carrier.get("traceparent", "")


def origin() -> Origin:
    """The request that is being worked for, and where its trace stands now: for another process."""
    return Origin(origins.current().request_id, traceparent())


def _context(parent: str) -> Context | None:
    return _w3c.extract({"traceparent": parent}) if parent else None


class TracedEngine(EngineAround):
    """An engine each step of which is a span."""

    async def stream(self, conversation: Conversation, sampling: Sampling) -> AsyncGenerator[Chunk, None]:
        """The inner engine's."""
        # Not the current span: between two chunks whoever reads them is at work, not the engine.
        step = _tracer.start_span("engine.step", attributes={"gen_ai.request.model": self._inner.model})
        last = Chunk("")
        try:
            async with aclosing(self._inner.stream(conversation, sampling)) as chunks:
                async for last in chunks:
                    yield last
        except EngineError as error:
            step.set_status(StatusCode.ERROR, type(error).__name__)
            raise
        finally:
            step.set_attributes(
                {
                    "gen_ai.usage.input_tokens": last.prompt_tokens,
                    "gen_ai.usage.output_tokens": last.completion_tokens,
                    "personavlm.cached_tokens": last.cached_tokens,
                    "personavlm.finish_reason": last.finish_reason,
                }
            )
            step.end()
