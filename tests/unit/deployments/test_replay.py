"""The replay client against a small HTTP server that keeps the API's contract."""

import argparse
import asyncio
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console
from starlette.middleware.base import RequestResponseEndpoint

from personavlm.deployments.api import (
    ChatCompletion,
    ChatRequest,
    Evidence,
    PromptTokens,
    ReplyChoice,
    ReplyMessage,
    Trace,
    TraceStep,
    TraceWindow,
    Usage,
)
from personavlm.deployments.client import ServiceError
from personavlm.deployments.local_ray import free_port
from personavlm.deployments.replay import ReplayResult, batches, replay, run
from personavlm.deployments.resources import CloseReply, CloseRequest, TurnsReply, TurnsRequest
from personavlm.platform.histories import History

KEY = "pvlm-test"
START = datetime(2026, 1, 1, 9, tzinfo=UTC)


class Recorder:
    """What the server was asked; it finds turns by a word of the question and answers with the first."""

    def __init__(self) -> None:
        self.imports: list[TurnsRequest] = []
        self.closes: list[tuple[str, datetime]] = []
        self.chats: list[ChatRequest] = []
        self.busy = 0

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.middleware("http")
        async def check(request: Request, call_next: RequestResponseEndpoint) -> Response:
            if request.headers["Authorization"] != f"Bearer {KEY}":
                error = {"message": "no such key", "type": "x", "param": "Authorization", "code": "bad_key"}
                return JSONResponse({"error": error}, 401)
            if self.busy:
                self.busy -= 1
                return JSONResponse({}, 503, headers={"Retry-After": "0"})
            return await call_next(request)

        @app.get("/v1/models")
        async def models() -> object:
            model = {"id": "small", "description": "a test"}
            return {"object": "list", "data": [model]}

        @app.post("/v1/turns")
        async def turns(request: TurnsRequest) -> TurnsReply:
            self.imports.append(request)
            return TurnsReply(stored=len(request.turns), already_stored=0, turn_ids=[])

        @app.post("/v1/users/{user}/sessions/close")
        async def close(user: str, request: CloseRequest) -> CloseReply:
            self.closes.append((user, request.now))
            return CloseReply(closed=[], pending_turns=0)

        @app.post("/v1/chat/completions")
        async def chat(request: ChatRequest) -> ChatCompletion:
            self.chats.append(request)
            return self._answer(request)

        return app

    def _answer(self, request: ChatRequest) -> ChatCompletion:
        word = request.messages[-1].text.split()[0]
        turns = [t for body in self.imports if body.user == request.user for t in body.turns]
        found = [turn for turn in turns if word in turn.user_text]
        evidence = [
            Evidence(
                id=t.client_id, kind="turn", time=START, text="", turn_ids=[], client_ids=[t.client_id, "x"]
            )
            for t in found
        ]
        step = TraceStep(
            action="retrieve", thinking="", keywords=word, window=TraceWindow(start=START, end=None),
            found=[], outside_window=[], widened=[], repaired="", engine_ms=0, search_ms=0,
        )  # fmt: skip
        return ChatCompletion(
            id="c",
            created=0,
            model="small",
            choices=[ReplyChoice(message=ReplyMessage(content=found[0].user_text if found else "nothing"))],
            usage=Usage(
                prompt_tokens=0,
                completion_tokens=0,
                total_tokens=0,
                prompt_tokens_details=PromptTokens(cached_tokens=0),
            ),
            personavlm=Trace(turn_id=None, steps=[step], evidence=evidence),
        )


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def url(recorder: Recorder) -> Iterator[str]:
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(recorder.app(), port=port, log_level="error", ws="none", lifespan="off")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.01)
        assert thread.is_alive(), "the server did not start"
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


def history(user: str, *minutes: int, questions: tuple[dict[str, object], ...] = ()) -> History:
    turns = [
        {"id": f"t{i}", "event_time": START + timedelta(minutes=minute), "user_text": f"(b) number-{i}"}
        for i, minute in enumerate(minutes)
    ]
    basis = {"id": "q", "task": "recall", "question": "x", "event_time": START + timedelta(days=9)}
    full = [basis | {"id": f"q{i}"} | question for i, question in enumerate(questions)]
    return History.model_validate({"user": user, "turns": turns, "questions": full})


def play(url: str, *histories: History, key: str = KEY) -> ReplayResult:
    return asyncio.run(replay(url, key, histories, questions=True, prefix="p-", console=Console(quiet=True)))


def test_histories_are_imported_closed_and_asked(url: str, recorder: Recorder) -> None:
    ana = history(
        "ana", 0, 1, 120,
        questions=(
            {"question": "number-1", "expected_evidence": ["t1", "t2"], "must_contain": ["NUMBER-1"]},
            {"question": "number-2", "choices": {"a": "no", "b": "yes"}, "answer": "b"},
        ),
    )  # fmt: skip
    bo = history("bo", 50, 10)

    result = play(url, ana, bo)

    imports = {body.user: body for body in recorder.imports}
    assert [turn.client_id for turn in imports["p-ana"].turns] == ["t0", "t1", "t2"]
    assert (imports["p-ana"].allow_past, imports["p-bo"].allow_past) == (False, True)
    assert dict(recorder.closes) == {
        "p-ana": START + timedelta(days=9),
        "p-bo": START + timedelta(days=1, minutes=50),
    }
    for chat in recorder.chats:
        assert (chat.metadata.remember, chat.metadata.trace) == (False, True)
        assert chat.metadata.event_time == START + timedelta(days=9)

    first, second = result.answers
    assert (first.recall, first.right, first.retrieved) == (0.5, True, ("t1", "x"))
    assert first.window == (START.isoformat(), None) and first.steps == ("retrieve",)
    assert (second.recall, second.right, second.answer) == (None, True, "(b) number-2")
    assert (result.users, result.turns, result.messages) == (2, 5, 5)


def test_a_busy_service_is_asked_again(url: str, recorder: Recorder) -> None:
    recorder.busy = 3
    play(url, history("ana", 0))
    assert len(recorder.imports) == len(recorder.closes) == 1


def test_a_service_that_stays_busy_is_an_error(url: str, recorder: Recorder) -> None:
    recorder.busy = 100
    with pytest.raises(ServiceError, match="POST /v1/turns: 503"):
        play(url, history("ana", 0))


def test_a_refusal_is_told_in_the_words_of_the_service(url: str) -> None:
    with pytest.raises(ServiceError, match=r"POST /v1/turns: 401: no such key \(Authorization\)"):
        play(url, history("ana", 0), key="pvlm-wrong")


def test_a_silent_service_is_named() -> None:
    address = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ServiceError, match=rf"{address} does not answer .* is it running\?"):
        play(address, history("ana", 0))


@given(st.lists(st.sampled_from([1, 59, 60, 600]), max_size=100).map(lambda steps: steps * 4))
@example([1] * 400)
def test_batches_keep_order_and_limits(steps: list[int]) -> None:
    times = [sum(steps[:i]) for i in range(len(steps) + 1)]
    recorded = history("ana", *times)
    sent = list(batches(recorded))
    assert tuple(turn for batch in sent for turn in batch) == recorded.turns
    assert all(0 < len(batch) <= 200 for batch in sent)
    starts = {session[0].id for session in recorded.sessions()}
    for before, after in pairwise(sent):
        assert after[0].id in starts or len(before) == 200


def arguments(url: str, file: Path, **changes: object) -> argparse.Namespace:
    basis = {"file": file, "format": "personavlm", "questions": True, "question_file": None}
    more = {"url": url, "key": KEY, "user": "", "json": None}
    return argparse.Namespace(**(basis | more | changes))


def test_the_command_writes_its_result(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "ana.json"
    question: dict[str, object] = {"question": "number-0", "expected_evidence": ["t0"]}
    file.write_text(history("ana", 0, 1, questions=(question,)).model_dump_json(), encoding="utf-8")

    assert run(arguments(url, file, json=tmp_path / "result.json")) == 0

    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert result["answers"][0]["recall"] == 1.0
    printed = capsys.readouterr().out
    assert "100.0%" in printed and "turns stored and remembered" in printed


def test_the_command_explains_what_is_wrong(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PERSONAVLM_KEY", raising=False)
    assert run(arguments(url, tmp_path / "gone.json", key=None)) == 1
    assert "give --key or set PERSONAVLM_KEY" in capsys.readouterr().err
    assert run(arguments(url, tmp_path / "gone.json")) == 1
    assert "gone.json: file: cannot be read" in capsys.readouterr().err
