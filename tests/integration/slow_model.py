"""A model server that writes half of its reply to "Wait ..." and the rest when it is let go."""

from __future__ import annotations

import asyncio
import json
import os
import re
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from personavlm.deployments.local_ray import free_port
from personavlm.platform.prompts.render import read_rows, read_task
from tests.integration.test_openai_engine_service import text

PATIENCE_S = 90.0
ANSWER = "All right, noted."
REPLY = f"<think>nothing to look up</think><answer>{ANSWER}</answer>"


class SlowModel:
    """Counts the replies that it has begun and holds back, and those whose reader has gone away."""

    def __init__(self) -> None:
        self.app = FastAPI()
        self.app.post("/v1/chat/completions", response_model=None)(self.completions)
        self.port = free_port()
        self._changed = threading.Condition()
        self.begun, self.abandoned = 0, 0
        self.ports: list[int] = []
        self._free = False

    def hold(self) -> None:
        """From now on, hold back; counts begin anew."""
        with self._changed:
            self.begun, self.abandoned, self._free = 0, 0, False
            self.ports.clear()

    def let_go(self) -> None:
        self._free = True

    def wait_for(self, *, begun: int = 0, abandoned: int = 0) -> None:
        """Return once so many have been begun, and so many abandoned."""
        with self._changed:
            there = self._changed.wait_for(
                lambda: self.begun >= begun and self.abandoned >= abandoned, PATIENCE_S
            )
        assert there, f"{self.begun} begun, {self.abandoned} abandoned"

    async def completions(self, request: Request) -> StreamingResponse:
        messages = (await request.json())["messages"]
        prompt = next(text(message["content"]) for message in messages if message["role"] == "user")
        if read_task(prompt) != "reply":
            pieces = self._whole('{"operations": []}')
        elif read_rows(prompt)["message"][0]["text"].startswith("Wait"):
            pieces = self._halves(request)
        else:
            pieces = self._whole(REPLY)
        return StreamingResponse(_lines(pieces), media_type="text/event-stream")

    async def _whole(self, reply: str) -> AsyncIterator[str]:
        yield reply

    async def _halves(self, request: Request) -> AsyncIterator[str]:
        half = REPLY.index(ANSWER) + len(ANSWER) // 2
        yield REPLY[:half]
        with self._changed:
            self.begun += 1
            self.ports.append(request.client.port if request.client else 0)
            self._changed.notify_all()
        try:
            while not self._free:
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:  # the connection is closed
            with self._changed:
                self.abandoned += 1
                self._changed.notify_all()
            raise
        yield REPLY[half:]


async def _lines(pieces: AsyncIterator[str]) -> AsyncIterator[str]:
    async for piece in pieces:
        yield _line(piece, None)
    yield _line("", "stop")
    yield "data: [DONE]\n\n"


def _line(piece: str, end: str | None) -> str:
    choice = {"index": 0, "delta": {"content": piece}, "finish_reason": end}
    usage = {"prompt_tokens": 40, "completion_tokens": 20, "total_tokens": 60} if end else None
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "slow", "choices": [choice]}
    return f"data: {json.dumps({**chunk, 'usage': usage})}\n\n"


@contextmanager
def serving() -> Iterator[SlowModel]:
    """The server, until the block ends."""
    model = SlowModel()
    server = uvicorn.Server(uvicorn.Config(model.app, port=model.port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield model
    finally:
        model.let_go()
        server.should_exit = True
        thread.join()


def process_with_connection(port: int) -> int:
    """The id of the process whose end of a TCP connection of this machine has that port."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    inode = next(row[9] for row in rows if int(row[1].split(":")[1], 16) == port)
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link) == f"socket:[{inode}]":
                return int(re.findall(r"\d+", str(link))[0])
        except OSError:  # the process, or its file, is gone by now
            continue
    raise AssertionError(f"no process has the port {port}")
