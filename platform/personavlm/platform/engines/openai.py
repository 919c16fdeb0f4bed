"""Any server with an OpenAI-compatible chat endpoint, through the official client.

Servers cut the stop string off the text and our grammar needs it, so it is put back. Connection errors are
retried while nothing has arrived; whatever the server itself answers is final.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from base64 import b64encode
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import openai
from openai import AsyncStream
from openai.types.chat import ChatCompletionChunk

from personavlm.platform.engines.base import Chunk, Conversation, Sampling, Segment
from personavlm.platform.errors import EngineError, EngineTimeout, EngineUnavailable

logger = logging.getLogger(__name__)

RETRY_AFTER_S = (0.25, 0.5, 1.0, 2.0)  # a server that restarts is back within seconds, or not at all
_BUSY = frozenset((429, 503))
_WORD = re.compile(r"[a-z0-9_.-]{1,64}")


class OpenAiEngine:
    """A text engine behind HTTP. ``timeout_s`` is the longest wait for a whole reply."""

    def __init__(
        self, base_url: str, api_key: str, model: str, timeout_s: float = 60.0, version: str = ""
    ) -> None:
        self._model = model
        self._version = version
        self._base_url = base_url
        self._timeout_s = timeout_s
        self._client = openai.AsyncOpenAI(
            base_url=base_url,
            api_key=api_key or "none",  # the client insists on a key, many local servers want none
            timeout=timeout_s,
            max_retries=0,  # the client's own retries also repeat requests that the server refused
        )

    @property
    def model(self) -> str:
        """The server's name of the model."""
        return self._model

    @property
    def version(self) -> str:
        """As the configuration says."""
        return self._version

    @property
    def description(self) -> str:
        """What answers here."""
        return f"The model {self._model} behind an OpenAI-compatible server."

    async def stream(self, conversation: Conversation, sampling: Sampling) -> AsyncGenerator[Chunk, None]:
        """Stream a reply. Raises `EngineTimeout`, `EngineUnavailable` or `EngineError`."""
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        reply = _Reply(sampling.stop)
        stream, event = await self._open(await self._request(conversation, sampling), deadline)
        try:
            while event is not None and not reply.overrun:
                if piece := reply.read(event):
                    yield Chunk(piece)
                event = await self._next(stream, deadline)
        finally:
            await stream.close()
        yield reply.end()

    async def check_health(self) -> None:
        """The server looks after itself."""

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _request(self, conversation: Conversation, sampling: Sampling) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self._model,
            "messages": [await _message(segment, conversation) for segment in conversation.segments],
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
        }
        if sampling.stop:
            request["stop"] = list(sampling.stop)
        if sampling.json_schema:
            schema = {"name": "reply", "schema": dict(sampling.json_schema), "strict": True}
            request["response_format"] = {"type": "json_schema", "json_schema": schema}
        return request

    async def _open(
        self, request: dict[str, Any], deadline: float
    ) -> tuple[AsyncStream[ChatCompletionChunk], ChatCompletionChunk | None]:
        """Connect and wait for the first event."""
        for pause in RETRY_AFTER_S:
            try:
                return await self._connect(request, deadline)
            except _Unreachable as error:
                logger.warning("%s; trying again in %.2f s", error, pause)
                await asyncio.sleep(pause)
        return await self._connect(request, deadline)

    async def _connect(
        self, request: dict[str, Any], deadline: float
    ) -> tuple[AsyncStream[ChatCompletionChunk], ChatCompletionChunk | None]:
        with self._boundary():
            async with asyncio.timeout_at(deadline):
                stream = await self._client.chat.completions.create(
                    **request, stream=True, stream_options={"include_usage": True}
                )
        try:
            return stream, await self._next(stream, deadline)
        except BaseException:
            await stream.close()
            raise

    async def _next(
        self, stream: AsyncStream[ChatCompletionChunk], deadline: float
    ) -> ChatCompletionChunk | None:
        with self._boundary():
            async with asyncio.timeout_at(deadline):
                return await anext(stream, None)

    @contextmanager
    def _boundary(self) -> Iterator[None]:
        """Turn whatever the client raises into our errors."""
        at = f"the model server at {self._base_url}"
        try:
            yield
        except (TimeoutError, openai.APITimeoutError) as error:
            raise EngineTimeout(f"{at} did not finish within {self._timeout_s:g} s") from error
        except openai.APIConnectionError as error:
            raise _Unreachable(f"{at} cannot be reached: {error.__cause__ or error}") from error
        except openai.APIStatusError as error:
            kind = EngineUnavailable if error.status_code in _BUSY else EngineError
            code = error.code if isinstance(error.code, str) and _WORD.fullmatch(error.code) else ""
            message = f"{at} answered {error.status_code} {code}".rstrip()
            raise _quoting(kind(message), error) from error
        except openai.OpenAIError as error:
            raise _quoting(EngineError(f"{at} failed"), error) from error
        except json.JSONDecodeError as error:
            raise EngineError(f"{at} sent something that is not JSON: {error}") from error


def _quoting(error: EngineError, words: openai.OpenAIError) -> EngineError:
    """The error with the server's words as a note, not in its text: they may quote the prompt."""
    error.add_note(str(words))
    return error


class _Unreachable(EngineUnavailable):
    """The connection failed: nobody there, or gone before the end."""


class _Reply:
    """Puts a streamed reply together: ends it behind the first stop string, whoever cuts there."""

    def __init__(self, stop: tuple[str, ...]) -> None:
        self._stop = stop
        self._text = ""
        self._stopped = False
        self._finish_reason: str | None = None
        self._stop_reason: object = None
        self._tokens = (0, 0, 0)
        self.overrun = False  # the server goes on after the stop string: it does not know stop strings

    def read(self, event: ChatCompletionChunk) -> str:
        """What the event adds to the text."""
        if event.usage:
            details = event.usage.prompt_tokens_details
            cached = (details.cached_tokens or 0) if details else 0
            self._tokens = (event.usage.prompt_tokens, event.usage.completion_tokens, cached)
        if not event.choices:
            return ""
        choice = event.choices[0]
        if choice.finish_reason:
            self._finish_reason = choice.finish_reason
            self._stop_reason = (choice.model_extra or {}).get("stop_reason")
        return self._add(choice.delta.content or "")

    def end(self) -> Chunk:
        """The last chunk. Raises `EngineError` where the reply broke off."""
        if self._finish_reason is None and not self._stopped:
            raise EngineError("the model server ended its reply without a finish reason")
        reason: Literal["stop", "length"] = "length" if self._finish_reason == "length" else "stop"
        missing = self._missing_stop() if reason == "stop" and not self._stopped else ""
        return Chunk(missing, reason, *self._tokens)

    def _add(self, piece: str) -> str:
        if self._stopped:
            self.overrun = self.overrun or bool(piece)
            return ""
        known = len(self._text)
        self._text += piece
        ends = [self._text.index(mark) + len(mark) for mark in self._stop if mark in self._text]
        if ends:
            self._stopped = True
            self.overrun = min(ends) < len(self._text)
            self._text = self._text[: min(ends)]
        return self._text[known:]

    def _missing_stop(self) -> str:
        """The stop string that the server cut off: the one that it names, else the end of the open tag."""
        if self._stop_reason in self._stop:
            return str(self._stop_reason)
        opened = {mark: self._text.rfind(mark.replace("</", "<")) for mark in self._stop if mark[:2] == "</"}
        mark = max(opened, key=lambda mark: opened[mark], default="")
        return mark if mark and opened[mark] >= 0 else ""


async def _message(segment: Segment, conversation: Conversation) -> dict[str, Any]:
    if not segment.images:
        return {"role": segment.role, "content": segment.text}
    parts: list[dict[str, Any]] = []
    for ref in segment.images:
        data = b64encode(await conversation.load_image(ref)).decode()
        parts.append({"type": "image_url", "image_url": {"url": f"data:{ref.media_type};base64,{data}"}})
    return {"role": segment.role, "content": [*parts, {"type": "text", "text": segment.text}]}
