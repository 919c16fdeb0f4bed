"""Chat completions through the whole stack with OpenAI's own client."""

from __future__ import annotations

import base64
import importlib.util
import io

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionUserMessageParam
from PIL import Image

from tests.integration.conftest import Service

MARCH = "2026-03-02T09:00:00+01:00"


def picture(size: tuple[int, int] = (64, 64), kind: str = "PNG") -> str:
    buffer = io.BytesIO()
    Image.new("RGB", size, (40, 90, 200)).save(buffer, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def ask(client: httpx.Client, user: str, text: str, **metadata: str) -> dict:
    body = {
        "model": "rules",
        "user": user,
        "messages": [{"role": "user", "content": text}],
        "metadata": metadata,
    }
    response = client.post("/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def turn_id(reply: openai.BaseModel) -> str:
    """Our own addition to OpenAI's objects."""
    extra: dict = dict(reply.model_extra or {})
    return extra["personavlm"]["turn_id"]


def turns_of(client: httpx.Client, user: str) -> list[str]:
    """What the user said, newest first."""
    entries = client.get(f"/v1/users/{user}/timeline").json()["data"]
    return [entry["text"] for entry in entries if entry["kind"] == "turn"]


def test_a_reply_and_its_turn(service: Service, user: str) -> None:
    reply = service.openai().chat.completions.create(
        model="rules", user=user, messages=[{"role": "user", "content": "I adopted a cat named Mochi."}]
    )
    assert reply.choices[0].message.content
    assert reply.choices[0].finish_reason == "stop"
    with service.http() as client:
        entries = client.get(f"/v1/users/{user}/timeline").json()["data"]
    assert [e["id"] for e in entries if e["kind"] == "turn"] == [turn_id(reply)]


def test_a_stream_equals_the_stored_reply(service: Service, user: str) -> None:
    stream = service.openai().chat.completions.create(
        model="rules",
        user=user,
        messages=[{"role": "user", "content": "Good morning! I slept well."}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert "<think>" not in text and "<answer>" not in text
    finished = [c for c in chunks if c.choices and c.choices[0].finish_reason]
    assert len(finished) == 1
    assert chunks[-1].usage and chunks[-1].usage.total_tokens > 0
    with service.http() as client:
        turn = client.get(f"/v1/users/{user}/turns/{turn_id(finished[0])}").json()
    assert turn["assistant_text"] == text


def test_thoughts_are_shown_on_request_only(service: Service, user: str) -> None:
    client = service.openai()

    def thoughts(metadata: dict[str, str]) -> str:
        stream = client.chat.completions.create(
            model="rules", user=user, stream=True, metadata=metadata,
            messages=[{"role": "user", "content": "Do you remember my sister's name?"}],
        )  # fmt: skip
        return "".join(getattr(c.choices[0].delta, "reasoning_content", None) or "" for c in stream)

    assert thoughts({"reasoning": "true"})
    assert not thoughts({})


def test_what_was_said_is_remembered_in_a_later_session(service: Service, user: str) -> None:
    with service.http() as client:
        ask(client, user, "My sister Ana lives in Porto.", event_time=MARCH)
        client.post(f"/v1/users/{user}/sessions/close", json={"now": "2026-03-03T09:00:00+01:00"})
        reply = ask(
            client, user, "Where does my sister live?", event_time="2026-03-09T10:00:00+01:00", trace="true"
        )
    assert "Porto" in reply["choices"][0]["message"]["content"]
    assert reply["personavlm"]["steps"][0]["action"] == "retrieve"
    assert reply["personavlm"]["evidence"]


def test_an_image_is_stored_and_served_to_its_owner_only(service: Service, user: str) -> None:
    message: ChatCompletionUserMessageParam = {
        "role": "user",
        "content": [
            {"type": "text", "text": "This is my blue mug."},
            {"type": "image_url", "image_url": {"url": picture()}},
        ],
    }
    service.openai().chat.completions.create(model="rules", user=user, messages=[message])
    with service.http() as client, service.http(service.foreign_key) as foreign:
        image = client.get(f"/v1/users/{user}/timeline").json()["data"][0]["images"][0]
        path = f"/v1/users/{user}/images/{image['sha256']}"
        found = client.get(path)
        assert found.headers["content-type"] == "image/png"
        assert Image.open(io.BytesIO(found.content)).size == (64, 64)
        assert foreign.get(path).status_code == 404


def test_an_unremembered_message_leaves_no_trace(service: Service, user: str) -> None:
    with service.http() as client:
        reply = ask(client, user, "I live in Oslo.", remember="false")
        assert reply["personavlm"]["turn_id"] is None
        assert client.get(f"/v1/users/{user}/timeline").json()["data"] == []


def test_models_say_what_they_are(service: Service) -> None:
    models = service.openai().models.list().data
    assert [m.id for m in models] == ["rules"]
    assert "without a language model" in str(models[0].to_dict()["description"])


IMAGE = {"type": "image_url", "image_url": {"url": picture((8, 8))}}
VIDEO = {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,aGVsbG8="}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "aGVsbG8=", "format": "wav"}}
NO_VIDEO = "invalid_video" if importlib.util.find_spec("av") else "video_not_supported"
BIG = "data:image/png;base64," + "A" * (9 * 2**20 * 4 // 3)


@pytest.mark.parametrize(
    ("change", "status", "code", "param"),
    [
        ({"user": None}, 400, "missing_field", "user"),
        ({"user": "a/b"}, 400, "invalid_value", "user"),
        ({"model": "gpt-0"}, 404, "model_not_found", "model"),
        ({"messages": [{"role": "user", "content": "  "}]}, 400, "empty_message", "messages"),
        ({"messages": []}, 400, "invalid_value", "messages"),
        ({"metadata": {"event_time": "yesterday"}}, 400, "invalid_value", "metadata.event_time"),
        ({"metadata": {"event_time": "2026-03-02T09:00:00"}}, 400, "invalid_value", "metadata.event_time"),
        ({"n": 2}, 400, "invalid_value", "n"),
        ({"tools": [{}]}, 400, "invalid_value", "tools"),
        ({"image": BIG}, 413, "image_too_large", "messages.image[0]"),
        ({"image": "data:image/png;base64,aGVsbG8="}, 400, "invalid_image", "messages.image[0]"),
        ({"image": "data:image/png;base64,%%%"}, 400, "invalid_image_url", "messages.image[0]"),
        ({"image": "https://example.org/a.png"}, 400, "remote_image_refused", "messages.image[0]"),
        ({"image": "file:///etc/passwd"}, 400, "invalid_image_url", "messages.image[0]"),
        ({"parts": [IMAGE] * 17}, 400, "too_many_images", "messages"),
        ({"parts": [VIDEO]}, 400, NO_VIDEO, "messages.video[0]"),
        ({"parts": [AUDIO]}, 400, "audio_not_supported", "messages.audio[0]"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_bad_input_is_refused_and_nothing_is_stored(
    service: Service, user: str, change: dict, status: int, code: str, param: str
) -> None:
    body: dict = {
        "model": "rules",
        "user": user,
        "messages": [{"role": "user", "content": "Hello"}],
        **change,
    }
    if parts := body.pop("parts", None):
        body["messages"] = [{"role": "user", "content": parts}]
    if url := body.pop("image", None):
        body["messages"] = [
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]},
        ]
    body = {name: value for name, value in body.items() if value is not None}
    with service.http() as client:
        response = client.post("/v1/chat/completions", json=body)
        assert response.status_code == status, response.text
        error = response.json()["error"]
        assert (error["code"], error["param"]) == (code, param)
        assert error["message"]
        assert client.get(f"/v1/users/{user}/timeline").json()["data"] == []


def test_invalid_json_and_an_oversized_body(service: Service) -> None:
    with service.http() as client:
        broken = client.post(
            "/v1/chat/completions", content=b"{", headers={"content-type": "application/json"}
        )
        huge = client.post("/v1/chat/completions", content=b" " * (25 * 2**20))
    assert broken.status_code == 400 and broken.json()["error"]["code"] == "invalid_json"
    assert huge.status_code == 413 and huge.json()["error"]["code"] == "body_too_large"


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer pvlm-wrong"}, {"Authorization": "Basic x"}]
)
def test_no_key_no_service(service: Service, user: str, headers: dict[str, str]) -> None:
    for path in ("/v1/models", f"/v1/users/{user}/timeline"):
        response = httpx.get(service.url + path, headers=headers)
        assert response.status_code == 401
        assert response.json()["error"]["code"] == "invalid_api_key"


def test_the_official_client_sees_its_own_errors(service: Service, user: str) -> None:
    with pytest.raises(openai.AuthenticationError):
        service.openai("pvlm-wrong").models.list()
    with pytest.raises(openai.NotFoundError, match="use 'rules'"):
        service.openai().chat.completions.create(
            model="gpt-0", user=user, messages=[{"role": "user", "content": "Hi"}]
        )


def test_stated_times_need_a_key_that_may_replay(service: Service, user: str) -> None:
    with service.http(service.plain_key) as client:
        body: dict = {"model": "rules", "user": user, "messages": [{"role": "user", "content": "Hi"}]}
        for metadata in ({"event_time": MARCH}, {"remember": "false"}):
            response = client.post("/v1/chat/completions", json={**body, "metadata": metadata})
            assert response.status_code == 403
            assert response.json()["error"]["code"] == "replay_not_allowed"


def test_the_past_is_refused_unless_it_is_meant(service: Service, user: str) -> None:
    with service.http() as client:
        ask(client, user, "First of all: hello.", event_time=MARCH)
        body: dict = {"model": "rules", "user": user, "messages": [{"role": "user", "content": "Earlier."}]}
        earlier = {"event_time": "2026-03-01T09:00:00+01:00"}
        refused = client.post("/v1/chat/completions", json={**body, "metadata": earlier})
        assert refused.status_code == 409
        assert refused.json()["error"]["code"] == "event_time_out_of_order"
        assert turns_of(client, user) == ["First of all: hello."]
        ask(client, user, "Earlier.", allow_past="true", **earlier)
        assert turns_of(client, user) == ["First of all: hello.", "Earlier."]
