"""Videos and recordings that clients send: what they are by their bytes, and frames of a video.

FFmpeg (through PyAV, extra `video`) is told which container it reads, so that it never follows a playlist to
other files or hosts.
"""

from __future__ import annotations

import importlib.util
import io
import wave
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from personavlm.deployments.images import MAX_PIXELS, CheckedImage
from personavlm.deployments.sources import refused

if TYPE_CHECKING:
    from av.container import InputContainer

DEMUXERS = {"video/mp4": "mp4", "video/quicktime": "mov", "video/webm": "matroska"}
AUDIO_TYPES = {
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
    "webm": "audio/webm",
}
FRAME_SIDE = 1024  # pixels; engines are shown less
DECODED = 600  # frames at most that are decoded to reach one: videos with few key frames are sampled roughly


@dataclass(frozen=True, slots=True)
class CheckedVideo:
    """The bytes of a video, and frames that a decoder has read from it."""

    data: bytes
    media_type: str
    seconds: float
    frames: tuple[CheckedImage, ...]


def check_audio(data: bytes, form: str, param: str) -> tuple[str, float]:
    """Media type of a recording and its seconds, 0 if they are not known. `RequestError` for other bytes."""
    if form not in AUDIO_TYPES or not _begins_as(data, form):
        raise refused(f"the data is not a recording in the format {form!r}", param, "invalid_audio")
    return AUDIO_TYPES[form], _wav_seconds(data, param) if form == "wav" else 0.0


def read_video(data: bytes, count: int, param: str) -> CheckedVideo:
    """Check a video and take ``count`` frames, spread evenly. Takes a while: for a thread. `RequestError`."""
    require_video(param)
    media_type = _video_type(data)
    if not media_type:
        raise refused("the data is not an MP4, QuickTime or WebM video", param, "invalid_video")
    import av

    try:
        with closing(av.open(io.BytesIO(data), format=DEMUXERS[media_type])) as container:
            seconds = float(container.duration or 0) / av.time_base
            frames = tuple(_frames(container, seconds, count, param))
    except (av.FFmpegError, ValueError, IndexError) as error:
        raise refused(f"the video cannot be decoded: {error}", param, "invalid_video") from error
    if not frames:
        raise refused("the video holds no frame", param, "invalid_video")
    return CheckedVideo(data, media_type, seconds, frames)


def require_video(param: str) -> None:
    """Raise `RequestError` unless videos can be read here."""
    if importlib.util.find_spec("av") is None:
        raise refused(
            "this service reads no videos: its extra `video` is not installed (pip install "
            "'personavlm[video]'); send images",
            param,
            "video_not_supported",
        )


def _frames(container: InputContainer, seconds: float, count: int, param: str) -> Iterator[CheckedImage]:
    stream = container.streams.video[0]
    if stream.width * stream.height > MAX_PIXELS:
        raise refused(f"the video has {stream.width}x{stream.height} pixels", param, "video_too_large", 413)
    for number in range(count if seconds else 1):
        wanted = seconds * (number + 0.5) / count
        if frame := _frame_at(container, stream, wanted):
            yield _as_image(frame)


def _frame_at(container: InputContainer, stream: Any, wanted: float) -> Any:  # noqa: ANN401 - PyAV may be absent
    """The first frame at a time or after it; the last one before where there is none, or it is far."""
    container.seek(int(wanted / stream.time_base), stream=stream)
    frame = None
    for frame, _ in zip(container.decode(stream), range(DECODED), strict=False):
        if frame.time is not None and frame.time >= wanted:
            break
    return frame


def _as_image(frame: Any) -> CheckedImage:  # noqa: ANN401 - PyAV may be absent
    image = frame.to_image()
    image.thumbnail((FRAME_SIDE, FRAME_SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return CheckedImage(buffer.getvalue(), "image/jpeg", image.width, image.height)


def _video_type(data: bytes) -> str:
    if data[4:8] == b"ftyp":
        return "video/quicktime" if data[8:12] == b"qt  " else "video/mp4"
    return "video/webm" if data[:4] == b"\x1aE\xdf\xa3" else ""


def _begins_as(data: bytes, form: str) -> bool:
    match form:
        case "wav":
            return data[:4] == b"RIFF" and data[8:12] == b"WAVE"
        case "mp3":
            return data[:3] == b"ID3" or (data[:1] == b"\xff" and data[1:2] >= b"\xe0")
        case "m4a":
            return data[4:8] == b"ftyp"
        case _:
            return data[:4] == {"ogg": b"OggS", "flac": b"fLaC", "webm": b"\x1aE\xdf\xa3"}[form]


def _wav_seconds(data: bytes, param: str) -> float:
    try:
        with wave.open(io.BytesIO(data)) as sound:
            return sound.getnframes() / sound.getframerate()
    except wave.Error:
        return 0.0  # a kind of WAV that the standard library does not read
    except (EOFError, ZeroDivisionError) as error:
        raise refused("the recording is not complete", param, "invalid_audio") from error
