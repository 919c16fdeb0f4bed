"""What operators see of a running service: request ids, log lines, metrics, traces; and never a text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from personavlm.deployments.logs import shown_user
from personavlm.memory_store import UserKey
from personavlm.platform.config import ServiceConfig
from tests.integration.observed import WORD, Observed, observing, until

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    with observing(tmp_path_factory.mktemp("observed")) as running:
        yield running


def test_every_response_carries_the_request_id_once(observed: Observed, user: str) -> None:
    answers = [
        observed.chat("Hello", user, {"X-Request-Id": "whole.1"}),
        observed.chat("Hello", user, {"X-Request-Id": "stream_1"}, stream=True),
    ]
    with observed.service.http() as client:
        answers.append(client.get("/nothing", headers={"X-Request-Id": "lost-1"}))
        answers.append(client.post("/v1/chat/completions", json={}, headers={"X-Request-Id": "bad-1"}))
    assert [answer.headers.get_list("x-request-id") for answer in answers] == [
        ["whole.1"],
        ["stream_1"],
        ["lost-1"],
        ["bad-1"],
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 404, 400]


def test_openais_client_shows_the_id_that_the_service_made(observed: Observed, user: str) -> None:
    reply = observed.service.openai().chat.completions.create(
        model="rules", user=user, messages=[{"role": "user", "content": f"Hello {WORD}"}]
    )
    assert reply._request_id
    until(lambda: observed.lines(request_id=reply._request_id, message="request"), "its line of the log")
    assert reply.usage and reply.usage.prompt_tokens_details
    assert reply.usage.prompt_tokens_details.cached_tokens == 0


def test_an_id_that_breaks_the_rules_is_refused(observed: Observed, user: str) -> None:
    answer = observed.chat("Hello", user, {"X-Request-Id": "two words"})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["param"], error["code"]) == ("X-Request-Id", "invalid_request_id")


def test_one_line_a_request_with_a_hash_for_the_user(observed: Observed, user: str) -> None:
    observed.chat("Which cat do I have?", user, {"X-Request-Id": "line-1"}, stream=True)
    [line] = until(lambda: observed.lines(request_id="line-1", message="request"), "the line")
    assert line["user"] == shown_user(UserKey("acme", user), ServiceConfig())
    assert (
        line.items()
        >= {
            "level": "info",
            "part": "ingress",
            "method": "POST",
            "route": "/v1/chat/completions",
            "status": 200,
            "tenant": "acme",
            "model": "rules",
        }.items()
    )
    assert line["ms"] >= line["first_token_ms"] > 0 and line["completion_tokens"] > 0
    assert line["retrievals"] >= 1


def test_a_scrape_shows_the_series(observed: Observed, user: str) -> None:
    reply = (("model", "rules"), ("tenant", "globex"))
    client = observed.service.openai(observed.service.foreign_key)
    for text in ("I have a cat named Mochi.", "What is my cat called?"):
        chunks = client.chat.completions.create(
            model="rules", user=user, stream=True, messages=[{"role": "user", "content": f"{text} {WORD}"}]
        )
        assert list(chunks)
    httpx.get(f"{observed.service.url}/v1/models")

    def complete() -> dict[str, Any] | None:
        found = observed.scrape()  # each process reports in its own time
        replies = found.get("reply_seconds_count", {}).get(reply)
        spent = found.keys() >= {"update_prompt_tokens_total", "update_completion_tokens_total"}
        updates = sum(found.get("update_queue_length", {0: 1}).values())
        lags = found.get("update_lag_seconds", {})
        return found if replies == 2 and spent and len(lags) == 2 and not updates else None

    found = until(complete, "the series")
    chats = {**dict(reply), "route": "/v1/chat/completions", "status": "200"}
    assert found["requests_total"][tuple(sorted(chats.items()))] == 2
    strangers = {"tenant": "", "model": "", "route": "/v1/models", "status": "401"}
    assert found["requests_total"][tuple(sorted(strangers.items()))] == 1
    assert found["first_token_seconds_count"][reply] == found["retrievals_count"][reply] == 2
    assert found["prompt_tokens_total"][reply] > found["completion_tokens_total"][reply] > 0
    assert found["retrievals_sum"][reply] >= 1
    read, written = (found[f"update_{name}_tokens_total"].values() for name in ("prompt", "completion"))
    assert sum(read) > sum(written) > 0
    assert {labels[0] for labels in found["update_lag_seconds"]} == {("actor", "0"), ("actor", "1")}
    assert found["update_queue_length"].keys() == found["update_lag_seconds"].keys()
    assert user not in str(found)


def test_a_chat_is_one_connected_trace_without_texts(observed: Observed, user: str) -> None:
    sent = f"00-{TRACE}-{PARENT}-01"
    answer = observed.chat(
        "What did I say about cats?", user, {"X-Request-Id": "trace-1", "traceparent": sent}
    )
    assert answer.status_code == 200

    def ours(spans: list[Span]) -> dict[str, Span]:
        return {span.name: span for span in spans if span.trace_id.hex() == TRACE}

    wanted = {
        "POST /v1/chat/completions": "",
        "policy.chat": "POST /v1/chat/completions",
        "memory.begin": "policy.chat",
        "engine.step": "policy.chat",
        "memory.search": "policy.chat",
        "memory.append_turn": "policy.chat",
    }
    spans = ours(observed.collector.wait(lambda spans: wanted.keys() <= ours(spans).keys()))
    for name, parent in wanted.items():
        above = spans[parent].span_id.hex() if parent else PARENT
        assert spans[name].parent_span_id.hex() == above, name
    assert WORD.encode() not in b"".join(observed.collector.bodies)
    [line] = until(lambda: observed.lines(request_id="trace-1", message="request"), "the line")
    assert line["trace_id"] == TRACE


def test_the_updates_of_a_turn_are_a_trace_of_their_own(observed: Observed, user: str) -> None:
    assert observed.chat("I play the cello.", user).status_code == 200

    def steps(spans: list[Span]) -> list[Span]:
        updates = {span.span_id: span for span in spans if span.name == "memory.update"}
        return [span for span in spans if span.name == "engine.step" and span.parent_span_id in updates]

    found = observed.collector.wait(lambda spans: bool(steps(spans)))
    step = steps(found)[0]
    update = next(span for span in found if span.span_id == step.parent_span_id)
    assert not update.parent_span_id and update.trace_id == step.trace_id
