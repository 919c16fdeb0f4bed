"""A client of a running service, for recorded histories: import turns, close sessions, ask questions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import ValidationError

from personavlm.deployments.api import ChatCompletion, ErrorReply, ModelList, Trace
from personavlm.deployments.resources import CloseReply, TurnsReply
from personavlm.platform.histories import HistoryQuestion, HistoryTurn, full_text

# Waiting for the updates of a long history with a language model takes minutes, connecting never does.
TIMEOUT = httpx.Timeout(600, connect=10)
BUSY = (429, 503)
ATTEMPTS = 5


class ServiceError(Exception):
    """The service cannot be reached or refused a request; the message is fit to be shown."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, how it came about, and the milliseconds from sending the question to having it."""

    answer: str
    trace: Trace
    ms: float

    @property
    def retrieved(self) -> tuple[str, ...]:
        """Client ids of all turns found, directly or as evidence behind a memory, each once."""
        return tuple(dict.fromkeys(id for found in self.trace.evidence for id in found.client_ids))

    @property
    def window(self) -> tuple[datetime | None, datetime | None] | None:
        """The first window in which it searched that is not open on both sides."""
        windows = [(step.window.start, step.window.end) for step in self.trace.steps]
        return next((window for window in windows if any(window)), None)


class ServiceClient:
    """Talks to ``url`` with a key that may replay. Every method raises `ServiceError`.

    What it sends is idempotent: turns carry client ids and questions are not remembered. So a request
    that met a busy service is sent again.
    """

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=TIMEOUT,
            transport=httpx.AsyncHTTPTransport(retries=2),
        )
        self._model = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def import_turns(
        self, user: str, turns: Sequence[HistoryTurn], *, allow_past: bool = False
    ) -> TurnsReply:
        """Store at most 200 recorded turns, in order."""
        body = {"user": user, "turns": [_turn_body(turn) for turn in turns], "allow_past": allow_past}
        return TurnsReply.model_validate(await self._call("POST", "/v1/turns", body))

    async def set_core(self, user: str, facts: Mapping[str, str], event_time: datetime) -> None:
        """Tell what is known of the user beforehand."""
        body = {"facts": dict(facts), "event_time": event_time.isoformat()}
        await self._call("PUT", f"/v1/users/{user}/core", body)

    async def close_sessions(self, user: str, now: datetime) -> CloseReply:
        """Close the session that is over by ``now``; returns when everything about it is remembered."""
        body = {"now": now.isoformat()}
        return CloseReply.model_validate(await self._call("POST", f"/v1/users/{user}/sessions/close", body))

    async def ask(self, user: str, question: HistoryQuestion) -> Reply:
        """Ask at the question's own time, leaving no trace in the user's memory."""
        images = [{"type": "image_url", "image_url": {"url": i.data_url()}} for i in question.images]
        body = {
            "model": await self.model(),
            "user": user,
            "messages": [
                {"role": "user", "content": [*images, {"type": "text", "text": full_text(question)}]}
            ],
            "metadata": {
                "event_time": question.event_time.isoformat(),
                "remember": "false",
                "trace": "true",
            },
        }
        start = time.perf_counter()
        document = await self._call("POST", "/v1/chat/completions", body)
        ms = (time.perf_counter() - start) * 1000
        completion = ChatCompletion.model_validate(document)
        return Reply(completion.choices[0].message.content, completion.personavlm, ms)

    async def profile(self, user: str) -> dict[str, Any]:
        """The personality profile with its history."""
        profile: dict[str, Any] = await self._call("GET", f"/v1/users/{user}/profile")
        return profile

    async def model(self) -> str:
        """The model that the service runs."""
        if not self._model:
            models = ModelList.model_validate(await self._call("GET", "/v1/models"))
            self._model = models.data[0].id
        return self._model

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401
        for attempt in range(1, ATTEMPTS + 1):
            try:
                response = await self._http.request(method, path, json=body)
            except httpx.TransportError as error:
                what = str(error) or type(error).__name__
                raise ServiceError(f"{self._url} does not answer ({what}); is it running?") from error
            if response.is_success:
                return response.json()
            if response.status_code not in BUSY or attempt == ATTEMPTS:
                raise ServiceError(f"{method} {path}: {response.status_code}: {_reason(response)}")
            await asyncio.sleep(float(response.headers.get("Retry-After", "1")))
        raise AssertionError("the last attempt returns or raises")


def _turn_body(turn: HistoryTurn) -> dict[str, Any]:
    return {
        "client_id": turn.id,
        "event_time": turn.event_time.isoformat(),
        "user_text": turn.user_text,
        "assistant_text": turn.assistant_text,
        "images": [{"url": image.data_url(), "caption": image.caption} for image in turn.images],
    }


def _reason(response: httpx.Response) -> str:
    try:
        detail = ErrorReply.model_validate_json(response.content).error
    except ValidationError:
        return response.text[:200]
    return f"{detail.message} ({detail.param})" if detail.param else detail.message
