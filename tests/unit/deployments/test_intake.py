"""What may come with a message: how much of it, and recordings by way of a real transcription server."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

from personavlm.deployments.api import ChatMessage
from personavlm.deployments.intake import Checked, CheckedAudio, build_intake, with_transcripts
from personavlm.deployments.local_ray import free_port
from personavlm.platform.config import Config
from personavlm.platform.errors import RequestError
from tests.unit.deployments.clips import tone
from tests.unit.deployments.test_image_policy import data_url, encoded
from tests.unit.deployments.transcription_server import router

Part = dict[str, Any]
server = FastAPI()
server.include_router(router)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    port = free_port()
    running = uvicorn.Server(uvicorn.Config(server, port=port, log_level="warning"))
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        thread.join(0.02)
        assert thread.is_alive()
    yield f"http://127.0.0.1:{port}/v1"
    running.should_exit = True
    thread.join()


def image() -> Part:
    return {"type": "image_url", "image_url": {"url": data_url(encoded("PNG"))}}


def audio(data: bytes, form: str = "wav") -> Part:
    return {"type": "input_audio", "input_audio": {"data": base64.b64encode(data).decode(), "format": form}}


def check(parts: list[Part], **sections: Any) -> list[Checked]:  # noqa: ANN401 - sections of a configuration
    message = ChatMessage.model_validate({"role": "user", "content": parts})
    return asyncio.run(build_intake(Config.model_validate(sections)).check(message, "messages"))


def refusal(parts: list[Part], **sections: Any) -> RequestError:  # noqa: ANN401 - the same
    with pytest.raises(RequestError) as caught:
        check(parts, **sections)
    return caught.value


def test_more_images_than_the_limit_are_refused_before_they_are_decoded() -> None:
    broken = {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}
    assert len(check([image()] * 2, images={"max_per_message": 2})) == 2
    error = refusal([broken] * 3, images={"max_per_message": 2})
    assert (error.status, error.code, error.param) == (400, "too_many_images", "messages")
    assert "3 images" in error.message and "2" in error.message


def test_frames_of_a_video_count_as_images() -> None:
    clip = {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,"}}
    sections = {"images": {"max_per_message": 4}, "video": {"frames": 4}}
    assert refusal([clip, image()], **sections).code == "too_many_images"


def test_the_image_at_fault_is_named() -> None:
    broken = {"type": "image_url", "image_url": {"url": data_url(b"no image")}}
    error = refusal([image(), {"type": "text", "text": "Look!"}, broken])
    assert (error.code, error.param) == ("invalid_image", "messages.image[1]")
    large = refusal([image()], service={"max_image_mb": 0.00001})
    assert (large.status, large.code) == (413, "image_too_large")


def test_without_a_transcriber_recordings_are_refused() -> None:
    error = refusal([audio(tone())])
    assert (error.status, error.code, error.param) == (400, "audio_not_supported", "messages.audio[0]")
    assert "transcriber" in error.message and "`audio`" in error.message


def test_a_recording_comes_back_as_words(url: str) -> None:
    [heard] = check([audio(tone())], audio={"kind": "openai", "base_url": url, "model": "ears"})
    assert isinstance(heard, CheckedAudio)
    words = f"recording.wav has {len(tone())} bytes."
    assert (heard.words, heard.media_type, heard.seconds) == (words, "audio/wav", 0.25)
    expected = f"Listen!\n[transcript of a recording]\n{words}\n[end of the transcript]"
    assert with_transcripts("Listen!", [heard]) == expected


def test_a_recording_without_words_adds_none(url: str) -> None:
    heard = check([audio(tone())], audio={"kind": "openai", "base_url": url, "model": "deaf"})
    assert with_transcripts("Listen! ", heard) == "Listen! "


@pytest.mark.parametrize("broken", [True, False])
def test_a_failing_transcriber_is_not_the_clients_business(url: str, broken: bool) -> None:
    place = {"base_url": url} if broken else {"base_url": "http://127.0.0.1:1/v1"}
    error = refusal([audio(tone())], audio={"kind": "openai", "model": "broken", **place})
    assert (error.status, error.code) == (502, "transcription_failed")
    assert "127.0.0.1" not in error.message and "memory" not in error.message


@pytest.mark.parametrize(
    ("data", "code"), [(b"no sound", "invalid_audio"), (bytes(200_000), "audio_too_large")]
)
def test_bad_recordings_are_refused(data: bytes, code: str) -> None:
    never = {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "ears"}
    assert refusal([audio(data)], audio=never, service={"max_recording_mb": 0.1}).code == code


def test_what_is_no_base64_is_refused() -> None:
    never = {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "ears"}
    part = {"type": "input_audio", "input_audio": {"data": "né", "format": "wav"}}
    assert refusal([part], audio=never).code == "invalid_audio"
