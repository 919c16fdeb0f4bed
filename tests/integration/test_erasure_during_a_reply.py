"""A user or a tenant is erased while the model still writes: the turn is refused, nothing of it is kept."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import openai
import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse
from openai.types.chat import ChatCompletionUserMessageParam

from personavlm.deployments.keys import create_key
from personavlm.deployments.local_ray import free_port
from personavlm.platform.prompts.render import read_rows, read_task
from tests.integration.conftest import Service, start, stop
from tests.integration.test_chat import picture
from tests.integration.test_crash import kill_homes
from tests.integration.test_openai_engine_service import text

PATIENCE_S = 60.0
WORDS, ANSWER = "My vet is Dr Silva.", "Noted."
SHOWN, LOOK = "Wait: who is this?", '<think>-</think><retrieve>{"keywords": "vet"}</retrieve>'


class Model:
    """A model server that writes half of a reply to "Wait: ...", and the rest when it is let go."""

    def __init__(self) -> None:
        self.app = FastAPI()
        self.app.post("/v1/chat/completions", response_model=None)(self.completions)
        self.begun, self.let_go = threading.Event(), threading.Event()
        self.prompts: list[str] = []

    async def completions(self, request: Request) -> Response:
        messages = (await request.json())["messages"]
        prompt = next(text(message["content"]) for message in messages if message["role"] == "user")
        if read_task(prompt) != "reply":
            return StreamingResponse(sent(['{"operations": []}']), media_type="text/event-stream")
        self.prompts.append(prompt)
        message = read_rows(prompt)["message"][0]["text"]
        reply = LOOK if message == SHOWN else f"<think>-</think><answer>{ANSWER}</answer>"
        pieces = self._in_halves(reply) if message.startswith("Wait") else iter([reply])
        return StreamingResponse(sent(pieces), media_type="text/event-stream")

    def _in_halves(self, reply: str) -> Iterator[str]:
        half = len(reply) // 2
        yield reply[:half]
        self.begun.set()
        assert self.let_go.wait(PATIENCE_S)
        yield reply[half:]


def sent(pieces: Iterable[str]) -> Iterator[str]:
    for piece in pieces:
        yield line(piece, None)
    yield line("", "stop")
    yield "data: [DONE]\n\n"


def line(piece: str, end: str | None) -> str:
    choice = {"index": 0, "delta": {"content": piece}, "finish_reason": end}
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "slow", "choices": [choice]}
    return f"data: {json.dumps(chunk)}\n\n"


@pytest.fixture(scope="module")
def model() -> Iterator[tuple[Model, str]]:
    model, port = Model(), free_port()
    server = uvicorn.Server(uvicorn.Config(model.app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    yield model, f"http://127.0.0.1:{port}/v1"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def served(model: tuple[Model, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("slow")
    keys = folder / "keys.json"
    key, foreign = create_key(keys, "acme"), create_key(keys, "other")
    engine = {"kind": "openai", "base_url": model[1], "model": "slow", "timeout_s": PATIENCE_S}
    process, url = start(folder, engine=engine, memory={"uri": str(folder / "memory"), "actors": 1})
    yield Service(url, key, key, foreign, folder, process.pid)
    stop(process)


@pytest.fixture
def slow(model: tuple[Model, str]) -> Iterator[Model]:
    slow = model[0]
    slow.begun.clear()
    slow.let_go.clear()
    slow.prompts.clear()
    yield slow
    slow.let_go.set()


def say(service: Service, user: str, text: str, *, stream: bool = False, key: str | None = None) -> str:
    """The reply to a message. The client is the official one, with its usual retries."""
    messages: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": text}]
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key=key or service.key) as client:
        if not stream:
            reply = client.chat.completions.create(model="slow", user=user, messages=messages)
            return reply.choices[0].message.content or ""
        chunks = client.chat.completions.create(model="slow", user=user, messages=messages, stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def turns(service: Service, user: str, key: str | None = None) -> list[str]:
    with service.http(key) as client:
        entries = client.get(f"/v1/users/{user}/timeline", params={"limit": 1000}).json()["data"]
    return [entry["text"] for entry in reversed(entries) if entry["kind"] == "turn"]


def erase(service: Service, user: str) -> None:
    with service.http() as client:
        receipt = client.delete(f"/v1/users/{user}")
    assert receipt.status_code == 200, receipt.text


def erase_tenant(service: Service, user: str) -> None:
    command = [sys.executable, "-m", "personavlm.deployments", "store", "erase-tenant", "acme"]
    subprocess.run([*command, "--config", str(service.folder / "config.yaml")], check=True)


def erase_and_crash(service: Service, user: str) -> None:
    erase(service, user)
    assert kill_homes(service) == 1


@pytest.mark.parametrize("erasure", [erase, erase_tenant, erase_and_crash])
@pytest.mark.parametrize(
    ("new", "streamed"), [(False, False), (True, True)], ids=["a user with turns", "a new user, streamed"]
)
def test_a_reply_to_who_is_erased_meanwhile_is_not_stored(
    served: Service,
    slow: Model,
    user: str,
    erasure: Callable[[Service, str], None],
    streamed: bool,
    new: bool,
) -> None:
    if not new:
        say(served, user, WORDS)
    with ThreadPoolExecutor(2) as talking:
        reply = talking.submit(say, served, user, f"Wait: {WORDS}", stream=streamed)
        assert slow.begun.wait(PATIENCE_S)
        erasure(served, user)
        slow.let_go.set()
        error = failure_of(reply)
    assert error.code == "user_erased"
    assert "send the message again if it should be kept" in error.message
    assert isinstance(error, openai.APIStatusError) != streamed
    assert getattr(error, "status_code", 410) == 410
    assert sum("Wait" in prompt for prompt in slow.prompts) == 1, "no client sends it again by itself"
    assert turns(served, user) == []
    assert say(served, user, "Hello again.", stream=streamed) == ANSWER
    assert turns(served, user) == ["Hello again."]
    assert WORDS not in slow.prompts[-1]


def test_an_image_that_is_gone_by_the_time_of_a_search_is_no_reason_to_try_again(
    served: Service, slow: Model, user: str
) -> None:
    content = [{"type": "text", "text": SHOWN}, {"type": "image_url", "image_url": {"url": picture()}}]
    body = {"model": "slow", "user": user, "messages": [{"role": "user", "content": content}]}
    with ThreadPoolExecutor(1) as talking, served.http() as client:
        reply = talking.submit(client.post, "/v1/chat/completions", json=body)
        assert slow.begun.wait(PATIENCE_S)
        erase(served, user)
        slow.let_go.set()
        error = reply.result(PATIENCE_S)
    assert (error.status_code, error.json()["error"]["code"]) == (410, "user_erased")
    assert turns(served, user) == []


def failure_of(reply: Future[str]) -> openai.APIError:
    error = reply.exception(PATIENCE_S)
    assert isinstance(error, openai.APIError), error
    return error


def test_a_reply_to_another_user_or_tenant_is_stored(served: Service, slow: Model, user: str) -> None:
    with ThreadPoolExecutor(2) as talking:
        other = talking.submit(say, served, f"{user}-other", f"Wait: {WORDS}")
        assert slow.begun.wait(PATIENCE_S)
        slow.begun.clear()
        foreign = talking.submit(say, served, user, f"Wait: {WORDS}", key=served.foreign_key)
        assert slow.begun.wait(PATIENCE_S)
        erase(served, user)
        slow.let_go.set()
        assert other.result(PATIENCE_S) == foreign.result(PATIENCE_S) == ANSWER
    assert turns(served, f"{user}-other") == [f"Wait: {WORDS}"]
    assert turns(served, user, served.foreign_key) == [f"Wait: {WORDS}"]
