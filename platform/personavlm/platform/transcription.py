"""From a recording to its words: the seam, and any server with OpenAI's endpoint for transcriptions."""

from __future__ import annotations

from typing import Protocol

import openai

from personavlm.platform.errors import EngineError, EngineTimeout, EngineUnavailable
from personavlm.platform.media_config import AudioConfig

RETRIES = 2


class Transcriber(Protocol):
    """Hears what is said."""

    async def transcribe(self, data: bytes, file_name: str) -> str:
        """The words, if any are heard. The name's extension tells the format. Raises `EngineError`."""
        ...


class OpenAiTranscriber:
    """A server with ``POST /audio/transcriptions``."""

    def __init__(self, base_url: str, api_key: str, model: str, timeout_s: float) -> None:
        self._base_url, self._api_key, self._model = base_url, api_key, model
        self._timeout_s = timeout_s

    async def transcribe(self, data: bytes, file_name: str) -> str:
        """The words. Raises `EngineTimeout`, `EngineUnavailable` or `EngineError`."""
        at = f"the transcriber at {self._base_url}"
        try:
            async with self._connected() as client:
                heard = await client.audio.transcriptions.create(file=(file_name, data), model=self._model)
        except openai.APITimeoutError as error:
            raise EngineTimeout(f"{at} took too long") from error
        except openai.APIConnectionError as error:
            raise EngineUnavailable(f"{at} cannot be reached: {error.__cause__ or error}") from error
        except openai.APIStatusError as error:
            raise EngineError(f"{at} answered {error.status_code}: {error.message}") from error
        except openai.OpenAIError as error:
            raise EngineError(f"{at} failed: {error}") from error
        return heard.text.strip()

    def _connected(self) -> openai.AsyncOpenAI:
        """A client for one recording: they are rare, and no connection is left open between them."""
        return openai.AsyncOpenAI(
            base_url=self._base_url,
            api_key=self._api_key or "none",  # the client insists on a key, many local servers want none
            timeout=self._timeout_s,
            max_retries=RETRIES,
        )


def build_transcriber(config: AudioConfig) -> Transcriber | None:
    """The configured transcriber; None where recordings are refused."""
    if config.kind == "none":
        return None
    key = config.api_key().get_secret_value()
    return OpenAiTranscriber(config.base_url, key, config.model, config.timeout_s)
