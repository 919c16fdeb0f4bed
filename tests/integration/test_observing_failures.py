"""What operators see when the language model fails: its request, how far updates are behind, no texts."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.integration.observed import WORD, Observed, observing, until


class QuotingFilter(BaseHTTPRequestHandler):
    """A model server that refuses every prompt, and quotes it."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        error = {"message": f"refused: {body}", "type": "x", "param": None, "code": "content_filter"}
        reply = json.dumps({"error": error}).encode()
        self.send_response(400)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, format: str, *args: object) -> None:
        """Tests print nothing."""


@contextmanager
def refusing() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), QuotingFilter) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    with refusing() as url:
        engine = {"kind": "openai", "base_url": url, "model": "picky"}
        with observing(tmp_path_factory.mktemp("failing"), engine=engine) as running:
            yield running


@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_names_its_request_in_every_part(failing: Observed, user: str, stream: bool) -> None:
    request_id = f"failed-{stream}"
    answer = failing.chat("Hello", user, {"X-Request-Id": request_id}, model="picky", stream=stream)
    assert answer.status_code == 502 and answer.headers["x-request-id"] == request_id
    policy, _ = until(lambda: _both(failing, request_id), "a line of each part")
    assert policy["level"] == "warning" and "answered 400 content_filter" in policy["message"]
    spans = failing.collector.wait(lambda spans: any(span.name == "policy.chat" for span in spans))
    assert WORD.encode() not in b"".join(failing.collector.bodies)
    assert all(
        span.status.code == span.status.STATUS_CODE_ERROR for span in spans if span.name == "policy.chat"
    )


def _both(failing: Observed, request_id: str) -> tuple[dict, dict] | None:
    policy = failing.lines(request_id=request_id, part="policy")
    ingress = failing.lines(request_id=request_id, part="ingress", status=502)
    return (policy[0], ingress[0]) if policy and ingress else None


def test_updates_that_fail_are_counted_and_grow_old(failing: Observed, user: str) -> None:
    turn = {
        "client_id": "1",
        "event_time": "2026-03-02T09:00:00+01:00",
        "user_text": f"Hi {WORD}",
        "assistant_text": "Hello.",
    }
    with failing.service.http() as client:
        answer = client.post("/v1/turns", json={"user": user, "turns": [turn]})
        assert answer.status_code == 200, answer.text

    def behind() -> bool:
        found = failing.scrape()
        return (
            sum(found.get("update_failures_total", {}).values()) >= 1
            and sum(found.get("update_queue_length", {}).values()) >= 1
            and max(found.get("update_lag_seconds", {(): 0.0}).values()) > 0
        )

    until(behind, "failures, a queue and a lag")
    warned = until(
        lambda: [one for one in failing.lines(level="warning") if "updates wait" in one["message"]],
        "a warning",
    )
    assert "request_id" not in warned[0], "updates are not the work of one request"
