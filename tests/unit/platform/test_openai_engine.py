"""The engine for compatible servers, against a real HTTP server that speaks the protocol."""

import asyncio
import json
import logging
import socket
import threading
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from personavlm.memory_store.records import ImageRef
from personavlm.platform.engines.base import Completion, Conversation, Sampling, Segment, complete
from personavlm.platform.engines.openai import OpenAiEngine
from personavlm.platform.errors import EngineError, EngineTimeout, EngineUnavailable

STOP = ("</answer>", "</retrieve>")
USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 7,
    "total_tokens": 18,
    "prompt_tokens_details": {"cached_tokens": 5},
}
CUP = ImageRef("ab" * 32, "image/png", 8, 8)


def event(content: str = "", finish: str | None = None, **choice: object) -> dict[str, Any]:
    delta = {"role": "assistant", "content": content}
    return {
        "id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "usage": None,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish, **choice}],
    }  # fmt: skip


LAST = {**event(), "choices": [], "usage": USAGE}
REPLIES: dict[str, list[dict[str, Any] | str]] = {
    "stripped": [event("<think>t</think><ans"), event("wer>Te"), event("a."), event(finish="stop"), LAST],
    "named": [event("tea"), event(finish="stop", stop_reason="</retrieve>"), LAST],
    "kept": [event("<answer>Tea.</answer>"), event(finish="stop"), LAST],
    "ignored": [event("<answer>Tea.</ans"), event("wer> And"), event(" on"), event(finish="length"), LAST],
    "cut": [event("<answer>Te"), event(finish="length"), LAST],
    "plain": [event("Tea."), event(finish="stop"), LAST],
    "breaks_off": [event("<answer>Te")],
    "fails_midway": [event("<answer>Te"), {"error": {"message": "the GPU fell out", "code": 500}}],
    "garbage": ["{not json"],
}
app = FastAPI()
received: list[dict[str, Any]] = []


@app.post("/v1/chat/completions", response_model=None)
async def completions(request: Request) -> Response:
    body = await request.json()
    received.append(body)
    model = body["model"]
    if model == "hangs":
        await asyncio.Event().wait()
    if model.startswith("status_"):
        error = {"message": "no such luck", "type": "server_error", "param": None, "code": None}
        return JSONResponse({"error": error}, status_code=int(model.removeprefix("status_")))
    return StreamingResponse(reply(model), media_type="text/event-stream")


async def reply(model: str) -> AsyncIterator[str]:
    for item in REPLIES.get(model, [event("<answer>Te")]):
        yield f"data: {item if isinstance(item, str) else json.dumps(item)}\n\n"
    if model == "hangs_midway":
        await asyncio.Event().wait()
    if model == "drops_midway":
        raise ConnectionError("pulled the plug")
    if model != "breaks_off":
        yield "data: [DONE]\n\n"


@contextmanager
def serving(listener: socket.socket) -> Iterator[str]:
    config = uvicorn.Config(app, log_level="critical", lifespan="off", ws="none", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield address(listener)
    finally:
        server.should_exit = True
        thread.join()


def address(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


def bound() -> socket.socket:
    """A port that is ours and refuses connections until somebody listens."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    return listener


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with bound() as listener:
        listener.listen()
        with serving(listener) as url:
            yield url


async def ask(url: str, model: str, timeout_s: float = 30, **sampling: Any) -> Completion:  # noqa: ANN401
    engine = OpenAiEngine(url, "", model, timeout_s)
    try:
        return await complete(
            engine, Conversation([Segment("user", "What?")]), Sampling(**{"stop": STOP, **sampling})
        )
    finally:
        await engine.close()


async def test_the_text_arrives_in_pieces_and_ends_with_its_stop_string(server: str) -> None:
    engine = OpenAiEngine(server, "key", "stripped")
    conversation = Conversation([Segment("system", "Be kind."), Segment("user", "What?")])
    chunks = [chunk async for chunk in engine.stream(conversation, Sampling(stop=STOP))]
    await engine.close()
    assert [chunk.text for chunk in chunks] == ["<think>t</think><ans", "wer>Te", "a.", "</answer>"]
    last = chunks[-1]
    assert last.finish_reason == "stop"
    assert (last.prompt_tokens, last.completion_tokens, last.cached_tokens) == (11, 7, 5)
    sent = received[-1]
    assert sent["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "What?"},
    ]
    assert sent["stop"] == list(STOP) and sent["stream"] and sent["stream_options"] == {"include_usage": True}
    assert (sent["max_tokens"], sent["temperature"]) == (1024, 0.0)
    assert "response_format" not in sent


@pytest.mark.parametrize(
    ("model", "text", "finish"),
    [
        ("named", "tea</retrieve>", "stop"),
        ("kept", "<answer>Tea.</answer>", "stop"),
        ("ignored", "<answer>Tea.</answer>", "stop"),
        ("cut", "<answer>Te", "length"),
        ("plain", "Tea.", "stop"),
    ],
)
async def test_where_the_text_ends(server: str, model: str, text: str, finish: str) -> None:
    completion = await ask(server, model)
    assert (completion.text, completion.finish_reason) == (text, finish)


async def test_images_travel_as_data_urls_before_the_text(server: str) -> None:
    async def load(ref: ImageRef) -> bytes:
        return b"png of " + ref.sha256.encode()

    engine = OpenAiEngine(server, "key", "kept")
    await complete(engine, Conversation([Segment("user", "What is this?", (CUP,))], load), Sampling())
    await engine.close()
    url = "data:image/png;base64," + b64encode(b"png of " + CUP.sha256.encode()).decode()
    assert received[-1]["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": "What is this?"},
    ]


async def test_a_schema_becomes_the_response_format(server: str) -> None:
    schema = {"type": "object", "properties": {"openness": {"type": "integer"}}}
    await ask(server, "plain", json_schema=schema, stop=())
    sent = received[-1]
    assert sent["response_format"]["json_schema"]["schema"] == schema
    assert "stop" not in sent


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        ("status_500", EngineError, r"answered 500\n.*no such luck"),
        ("status_400", EngineError, "answered 400"),
        ("status_503", EngineUnavailable, "answered 503"),
        ("status_429", EngineUnavailable, "answered 429"),
        ("fails_midway", EngineError, "the GPU fell out"),
        ("breaks_off", EngineError, "without a finish reason"),
        ("drops_midway", EngineUnavailable, "cannot be reached"),
        ("garbage", EngineError, "not JSON"),
    ],
)
async def test_what_the_server_answers_is_final(
    server: str, model: str, error: type[EngineError], message: str
) -> None:
    received.clear()
    with pytest.raises(error, match=message) as raised:
        await ask(server, model)
    assert len(received) == 1
    assert not isinstance(raised.value, EngineTimeout)
    assert not {"luck", "GPU"} & set(str(raised.value).split()), "its text is logged, and may not quote"


@pytest.mark.parametrize("model", ["hangs", "hangs_midway"])
async def test_a_server_that_hangs_meets_the_deadline(server: str, model: str) -> None:
    with pytest.raises(EngineTimeout, match=r"within 0\.3 s"):
        await ask(server, model, timeout_s=0.3)


async def test_closing_the_stream_closes_the_connection(server: str) -> None:
    engine = OpenAiEngine(server, "key", "hangs_midway")
    chunks = engine.stream(Conversation([Segment("user", "What?")]), Sampling())
    assert (await anext(chunks)).text == "<answer>Te"
    await chunks.aclose()
    await engine.close()


class Announce(logging.Handler):
    """Sets an event at the first record."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.set()


async def test_a_refused_connection_is_tried_again_until_somebody_listens() -> None:
    log, announce = logging.getLogger("personavlm.platform.engines.openai"), Announce()
    log.addHandler(announce)
    with bound() as listener:
        reply = asyncio.create_task(ask(address(listener), "kept"))
        await announce.heard.wait()
        listener.listen()
        with serving(listener):
            assert (await reply).text == "<answer>Tea.</answer>"
    log.removeHandler(announce)


async def test_nobody_there() -> None:
    with bound() as listener, pytest.raises(EngineUnavailable, match="cannot be reached"):
        await ask(address(listener), "kept")


def test_it_says_what_answers() -> None:
    engine = OpenAiEngine("http://localhost:8001/v1", "key", "qwen")
    assert engine.model == "qwen" and "qwen" in engine.description
