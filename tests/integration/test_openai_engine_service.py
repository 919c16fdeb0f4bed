"""The whole service in front of a model server: what it streams, what it learns, how it fails."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from typing import Any

import openai
import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from openai.types.chat import ChatCompletionContentPartParam, ChatCompletionUserMessageParam

from personavlm.deployments.keys import create_key
from personavlm.deployments.local_ray import free_port
from personavlm.platform.prompts.render import read_rows, read_task
from tests.integration.conftest import Service, start, stop
from tests.unit.deployments import transcription_server
from tests.unit.deployments.clips import tone

SECRET = "Mochi's vet is Dr Silva."
REPLIES = {
    "personality": json.dumps(
        {"openness": 5, "conscientiousness": 3, "extraversion": 3, "agreeableness": 3, "neuroticism": 1}
    ),
    "semantic": '{"operations": []}',
    "episodic": '{"operations": []}',
    "procedural": '{"operations": []}',
    "core": '{"operations": []}',
}
models = FastAPI()
models.include_router(transcription_server.router)


@models.post("/v1/chat/completions", response_model=None)
async def completions(request: Request) -> Response:
    """A model that looks things up when asked a question, and quotes what came back."""
    body = await request.json()
    prompts = [text(m["content"]) for m in body["messages"] if m["role"] == "user"]
    task = read_task(prompts[0])
    if task != "reply":
        return stream(REPLIES[task])
    message = read_rows(prompts[0])["message"][0]["text"]
    if message == "Fail.":
        return JSONResponse({"error": {"message": "out of memory", "type": "server_error"}}, status_code=500)
    if not message.endswith("?"):
        return stream("<think>nothing to look up</think><answer>Noted.</answer>")
    if len(prompts) == 1:
        return stream('<think>look</think><retrieve>{"keywords": "vet", "start_time": null}</retrieve>')
    said = [row["user"] for row in read_rows(prompts[1]).get("turns", [])]
    return stream(f"<think>found</think><answer>You said: {' '.join(said)}</answer>")


def text(content: Any) -> str:  # noqa: ANN401 - a string or OpenAI's list of parts
    return content if isinstance(content, str) else "".join(p.get("text", "") for p in content)


def stream(reply: str) -> StreamingResponse:
    pieces = [reply[i : i + 7] for i in range(0, len(reply), 7)]
    chunks = [
        {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "tiny",
         "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]}
        for piece in pieces
    ]  # fmt: skip
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    lines = [f"data: {json.dumps(c)}\n\n" for c in [*chunks, {**chunks[0], "choices": [end]}]]
    return StreamingResponse(iter([*lines, "data: [DONE]\n\n"]), media_type="text/event-stream")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    port, folder = free_port(), tmp_path_factory.mktemp("openai")
    server = uvicorn.Server(uvicorn.Config(models, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    key = create_key(folder / "keys.json", "acme", replay=True)
    engine = {"kind": "openai", "base_url": f"http://127.0.0.1:{port}/v1", "model": "tiny"}
    audio = {"kind": "openai", "base_url": f"http://127.0.0.1:{port}/v1", "model": "ears"}
    memory = {"uri": str(folder / "memory"), "shards": 1}
    process, url = start(folder, engine=engine, memory=memory, audio=audio)
    yield Service(url, key, key, key, folder, process.pid)
    stop(process)
    server.should_exit = True
    thread.join()


def say(service: Service, message: str, **options: Any) -> Any:  # noqa: ANN401 - a reply or all of its chunks
    messages: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": message}]
    with service.openai() as client:
        reply = client.chat.completions.create(model="tiny", user="ana", messages=messages, **options)
        return list(reply) if options.get("stream") else reply


def test_a_model_looks_things_up_and_answers(served: Service) -> None:
    assert say(served, SECRET).choices[0].message.content == "Noted."
    with served.http() as client:  # a later day, so that the first is no longer in the prompt
        client.post("/v1/users/ana/sessions/close", json={"now": "2099-01-01T00:00:00Z"})
    later = {"event_time": "2099-01-02T09:00:00Z", "remember": "false", "trace": "true"}
    chunks = list(say(served, "Who is the vet?", stream=True, metadata=later))
    answer = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert answer == f"You said: {SECRET}"
    steps = chunks[-1].model_extra["personavlm"]["steps"]
    assert [step["action"] for step in steps] == ["retrieve", "answer"]
    with served.http() as client:
        traits = client.get("/v1/users/ana/profile").json()["traits"]
    assert traits["openness"] == 4.0 and traits["neuroticism"] == 2.0  # λ = .5 at the first turn


def test_a_recording_is_kept_and_its_words_are_remembered(served: Service) -> None:
    sound = base64.b64encode(tone()).decode()
    parts: list[ChatCompletionContentPartParam] = [
        {"type": "text", "text": "Listen to this."},
        {"type": "input_audio", "input_audio": {"data": sound, "format": "wav"}},
    ]
    with served.openai() as speaker:
        reply = speaker.chat.completions.create(
            model="tiny", user="bea", messages=[{"role": "user", "content": parts}]
        )
    assert reply.choices[0].message.content == "Noted."
    turn_id = (reply.model_extra or {})["personavlm"]["turn_id"]
    with served.http() as client:
        turn = client.get(f"/v1/users/bea/turns/{turn_id}").json()
        words = f"recording.wav has {len(tone())} bytes."
        assert turn["user_text"].startswith("Listen to this.\n[transcript") and words in turn["user_text"]
        [attachment] = turn["attachments"]
        assert attachment["media_type"] == "audio/wav"
        found = client.get(f"/v1/users/bea/media/{attachment['sha256']}")
        assert found.content == tone() and found.headers["content-type"] == "audio/wav"
        assert client.get(f"/v1/users/ana/media/{attachment['sha256']}").status_code == 404
        assert client.delete("/v1/users/bea").json()["images"] == 1
        assert client.get(f"/v1/users/bea/media/{attachment['sha256']}").status_code == 404


def test_a_recording_that_is_heard_for_too_long_is_given_up_in_time(served: Service) -> None:
    sound = base64.b64encode(tone(seconds=1)).decode()
    part = {"type": "input_audio", "input_audio": {"data": sound, "format": "wav"}}
    body = {"model": "tiny", "user": "cem", "messages": [{"role": "user", "content": [part]}]}
    with served.http() as client:
        answer = client.post("/v1/chat/completions", json=body, headers={"X-Request-Timeout": "1"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_exceeded")
        assert client.get("/v1/users/cem/timeline").json()["data"] == []


@pytest.mark.parametrize("streamed", [False, True])
def test_a_failing_model_is_an_error_and_no_turn(served: Service, streamed: bool) -> None:
    with served.http() as client:
        before = client.get("/v1/users/ana/timeline").json()["data"]
        with pytest.raises(openai.InternalServerError) as caught:
            say(served, "Fail.", stream=streamed)
        assert caught.value.status_code == 502
        assert caught.value.code == "engine_error"
        assert "127.0.0.1" not in caught.value.message  # where the model runs is nobody's business
        assert client.get("/v1/users/ana/timeline").json()["data"] == before
