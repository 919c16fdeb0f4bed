"""Which recordings and videos come in, and which frames are taken from a video."""

from __future__ import annotations

import importlib.util
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from personavlm.deployments.images import CheckedImage
from personavlm.deployments.recordings import AUDIO_TYPES, FRAME_SIDE, check_audio, read_video
from personavlm.platform.errors import RequestError
from tests.unit.deployments.clips import tone, video

PLAYLIST = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"
has_av = importlib.util.find_spec("av") is not None
needs_av = pytest.mark.skipif(not has_av, reason="needs PyAV, which the extra `video` installs")


def refusal(data: bytes) -> RequestError:
    with pytest.raises(RequestError) as caught:
        read_video(data, 4, "messages.video[0]")
    assert caught.value.param == "messages.video[0]"
    return caught.value


def colour(frame: CheckedImage) -> tuple[int, ...]:
    with Image.open(io.BytesIO(frame.data)) as image:
        pixel = image.convert("RGB").getpixel((image.width // 2, image.height // 2))
    assert isinstance(pixel, tuple)
    return tuple(round(value / 255) for value in pixel)


def test_a_recording_is_what_it_says() -> None:
    assert check_audio(tone(0.5), "wav", "p") == ("audio/wav", 0.5)
    assert check_audio(b"OggS and so on", "ogg", "p") == ("audio/ogg", 0)
    assert check_audio(b"ID3 and so on", "mp3", "p") == ("audio/mpeg", 0)


@pytest.mark.parametrize("form", sorted(AUDIO_TYPES))
@given(data=st.binary(max_size=60))
def test_other_bytes_are_refused(form: str, data: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        check_audio(b"no sound" + data, form, "messages.audio[0]")
    assert (caught.value.code, caught.value.param) == ("invalid_audio", "messages.audio[0]")


def test_half_a_header_is_refused() -> None:
    with pytest.raises(RequestError, match="not complete"):
        check_audio(tone()[:20], "wav", "p")


@pytest.mark.skipif(has_av, reason="shows what is said where PyAV is missing")
def test_the_missing_extra_is_named() -> None:
    error = refusal(b"")
    assert (error.status, error.code) == (400, "video_not_supported")
    assert "personavlm[video]" in error.message


@needs_av
@pytest.mark.parametrize(
    ("form", "codec", "media_type"),
    [("mp4", "mpeg4", "video/mp4"), ("mov", "mpeg4", "video/quicktime"), ("webm", "libvpx", "video/webm")],
)
def test_frames_are_spread_over_the_video(form: str, codec: str, media_type: str) -> None:
    colours = ["red", "lime", "blue", "white"]
    found = read_video(video(colours, form, codec), 4, "p")
    assert found.media_type == media_type and found.seconds == pytest.approx(4, abs=0.2)
    assert [colour(frame) for frame in found.frames] == [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)]
    assert {(frame.width, frame.height, frame.media_type) for frame in found.frames} == {
        (64, 48, "image/jpeg")
    }


@needs_av
def test_frames_are_kept_at_a_bounded_size() -> None:
    [frame] = read_video(video(["red"], size=(1600, 800)), 1, "p").frames
    assert (frame.width, frame.height) == (FRAME_SIDE, FRAME_SIDE // 2)


@needs_av
def test_what_is_no_video_is_refused() -> None:
    whole = video(["red", "blue"])
    for data in (b"", b"noise", PLAYLIST, whole[:200], b"\x00\x00\x00\x18ftypmp42" + PLAYLIST, tone()):
        assert refusal(data).code == "invalid_video"
