"""What comes with a message beside its text: all of it is checked, and only then stored.

The bytes go to the user's home actor once; from there on, references travel.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from personavlm.deployments.api import AudioPart, ChatMessage, ImagePart, VideoPart
from personavlm.deployments.images import CheckedImage, ImagePolicy
from personavlm.deployments.memory_pool import Home
from personavlm.deployments.recordings import CheckedVideo, check_audio, read_video, require_video
from personavlm.deployments.sources import Source, decoded, refused, require_size
from personavlm.memory_store import ImageRef, MediaRef
from personavlm.platform.config import Config
from personavlm.platform.errors import EngineError, EngineTimeout, RequestError
from personavlm.platform.transcription import Transcriber, build_transcriber

log = logging.getLogger(__name__)

TRANSCRIPT = "[transcript of a recording]\n{words}\n[end of the transcript]"
"""How the words of a recording stand in the user's text."""


@dataclass(frozen=True, slots=True)
class CheckedAudio:
    """A recording and its words."""

    data: bytes
    media_type: str
    seconds: float
    words: str


Checked = CheckedImage | CheckedVideo | CheckedAudio


@dataclass(frozen=True, slots=True)
class Stored:
    """What was stored, in the order of the message: frames stand where their video stood."""

    images: tuple[ImageRef, ...]
    attachments: tuple[MediaRef, ...]


@dataclass(frozen=True, slots=True)
class Intake:
    """What is accepted. Without a ``transcriber`` recordings are refused."""

    images: ImagePolicy
    max_images: int
    max_recording_bytes: int
    frames: int
    transcriber: Transcriber | None

    async def check(self, message: ChatMessage, param: str) -> list[Checked]:
        """Everything but the text. Raises `RequestError` that names the part."""
        parts = message.media
        videos = sum(isinstance(part, VideoPart) for part in parts)
        images = sum(isinstance(part, ImagePart) for part in parts)
        self.require_count(images + videos * self.frames, param)
        numbers: dict[str, int] = {}
        checked: list[Checked] = []
        for part in parts:
            kind = part.type.removeprefix("input_").removesuffix("_url")
            number = numbers[kind] = numbers.get(kind, -1) + 1
            checked.append(await self._check(part, f"{param}.{kind}[{number}]"))
        return checked

    def require_count(self, images: int, param: str) -> None:
        """Raise `RequestError` for more images than one message may have."""
        if images > self.max_images:
            raise refused(
                f"{images} images, frames of videos among them, are more than the {self.max_images} that one "
                "message may have; send fewer",
                param,
                "too_many_images",
            )

    async def _check(self, part: ImagePart | VideoPart | AudioPart, param: str) -> Checked:
        if isinstance(part, ImagePart):
            return await self.images.read(part.image_url.url, param)
        return await (self._video(part, param) if isinstance(part, VideoPart) else self._audio(part, param))

    async def _video(self, part: VideoPart, param: str) -> CheckedVideo:
        require_video(param)
        limit = self.max_recording_bytes
        source = Source("video", "data:video/mp4;base64,…", limit, self.images.allow_remote)
        data = await source.read(part.video_url.url, param)
        require_size("video", len(data), limit, param)
        return await asyncio.to_thread(read_video, data, self.frames, param)

    async def _audio(self, part: AudioPart, param: str) -> CheckedAudio:
        if self.transcriber is None:
            raise refused(
                "this service understands no recordings: no transcriber is configured (`audio`); send text",
                param,
                "audio_not_supported",
            )
        form = part.input_audio.format
        data = decoded(part.input_audio.data, self.max_recording_bytes, param, "invalid_audio")
        require_size("audio", len(data), self.max_recording_bytes, param)
        media_type, seconds = check_audio(data, form, param)
        words = await self._words(self.transcriber, data, f"recording.{form}", param)
        return CheckedAudio(data, media_type, seconds, words)

    async def _words(self, transcriber: Transcriber, data: bytes, name: str, param: str) -> str:
        try:
            return await transcriber.transcribe(data, name)
        except EngineError as error:  # its text names servers, which are not the client's business
            log.warning("a recording was not transcribed: %s", error)
            status = 504 if isinstance(error, EngineTimeout) else 502
            message = "the recording could not be transcribed; try again"
            raise RequestError(message, status=status, param=param, code="transcription_failed") from error


def build_intake(config: Config) -> Intake:
    """What the configuration accepts."""
    service = config.service
    return Intake(
        images=ImagePolicy(int(service.max_image_mb * 2**20), service.allow_remote_images),
        max_images=config.images.max_per_message,
        max_recording_bytes=int(service.max_recording_mb * 2**20),
        frames=config.video.frames,
        transcriber=build_transcriber(config.audio),
    )


def with_transcripts(text: str, checked: Sequence[Checked]) -> str:
    """The user's text, and after it what recordings say."""
    said = [
        TRANSCRIPT.format(words=one.words) for one in checked if isinstance(one, CheckedAudio) and one.words
    ]
    return "\n".join(filter(None, (text.strip() if said else text, *said)))


async def store(home: Home, checked: Sequence[Checked]) -> Stored:
    """Send the bytes to where they stay."""
    images: list[ImageRef] = []
    attachments: list[MediaRef] = []
    for one in checked:
        pictures = one.frames if isinstance(one, CheckedVideo) else (one,)
        for picture in pictures:
            if isinstance(picture, CheckedImage):
                images.append(await store_image(home, picture))
        if not isinstance(one, CheckedImage):
            ref = await home.call("put_recording", one.data, one.media_type, one.seconds)
            attachments.append(ref)
    return Stored(tuple(dict.fromkeys(images)), tuple(attachments))


async def store_image(home: Home, image: CheckedImage, caption: str = "") -> ImageRef:
    """Store one image."""
    ref: ImageRef = await home.call(
        "put_image", image.data, image.media_type, image.width, image.height, caption
    )
    return ref
