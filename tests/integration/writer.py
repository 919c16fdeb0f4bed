"""Somebody who says one thing after the other, whatever happens to the cluster meanwhile."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.integration.kuberay import Cluster


class Writer:
    """Stores one message after the other in a cluster, and keeps what was acknowledged, what was refused with
    which status, and on what the connection broke.

    Each user says only as much as one page of a timeline shows.
    """

    def __init__(self, clients: httpx.Client) -> None:
        self._clients = clients
        self._enough = threading.Event()
        self.stored: dict[str, list[str]] = {}
        self.refused: list[int] = []
        self.broken: list[str] = []

    def run(self) -> None:
        """Until told to stop."""
        for number in itertools.count():
            user, text = f"user-{number // 1000}", f"Note number {number}."
            try:
                answer = say(self._clients, user, text)
            except httpx.TransportError:
                self.broken.append(text)
            else:
                self._keep(user, text, answer.status_code)
            if self._enough.is_set():
                return

    def _keep(self, user: str, text: str, status: int) -> None:
        if status == 200:
            self.stored.setdefault(user, []).append(text)
        else:
            self.refused.append(status)

    def count(self) -> int:
        """Of what was acknowledged."""
        return sum(map(len, self.stored.values()))

    @contextmanager
    def at_work(self) -> Iterator[Writer]:
        """In a thread of its own, until the block ends."""
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield self
        finally:
            self._enough.set()
            thread.join()


def clients(running: Cluster, key: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {key}", "X-Request-Timeout": "40"}
    return httpx.Client(base_url=running.url, headers=headers, timeout=120)


def say(there: httpx.Client, user: str, text: str) -> httpx.Response:
    body = {"model": "rules", "user": user, "messages": [{"role": "user", "content": text}]}
    return there.post("/v1/chat/completions", json=body)


def timeline(there: httpx.Client, user: str) -> list[str]:
    """The texts of the user's turns in their order."""
    answer = there.get(f"/v1/users/{user}/timeline", params={"limit": 1000}).raise_for_status()
    return [entry["text"] for entry in reversed(answer.json()["data"]) if entry["kind"] == "turn"]
