"""Traces: what keeps them from being sent is said at once; without an endpoint nothing is traced."""

from __future__ import annotations

import sys

import pytest

from personavlm.deployments import tracing
from personavlm.platform.config import ServiceConfig
from personavlm.platform.engines.base import Conversation, Sampling, Segment
from personavlm.platform.engines.scripted import ScriptedEngine
from personavlm.platform.errors import EngineError

WANTED = ServiceConfig(otlp_endpoint="http://127.0.0.1:4318/v1/traces")
EXPORTER = "opentelemetry.exporter.otlp.proto.http"


def test_a_missing_exporter_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, EXPORTER, None)  # as if it were not installed
    assert "personavlm[otel]" in tracing.missing(WANTED)
    assert tracing.missing(ServiceConfig()) == ""


async def test_an_engine_does_the_same_with_spans_around_its_steps() -> None:
    bare, traced = ScriptedEngine(["one two"]), tracing.TracedEngine(ScriptedEngine(["one two"]))
    assert (traced.model, traced.description) == (bare.model, bare.description)
    conversation = Conversation([Segment("user", "hi")])
    expected = [chunk async for chunk in bare.stream(conversation, Sampling())]
    assert [chunk async for chunk in traced.stream(conversation, Sampling())] == expected
    conversation.append(Segment("assistant", "one two"))
    with pytest.raises(EngineError, match="no completion for step 2"):
        _ = [chunk async for chunk in traced.stream(conversation, Sampling())]
    await traced.close()


def test_without_an_endpoint_nothing_is_traced() -> None:
    tracing.configure(ServiceConfig())
    with tracing.span("work") as span:
        assert not span.is_recording()
        assert tracing.traceparent() == ""
