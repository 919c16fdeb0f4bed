"""A running service as its operators see it: its log, its metrics, and a collector of its traces."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from personavlm.deployments.keys import create_key
from personavlm.deployments.local_ray import free_port
from tests.integration.conftest import Service, start, stop
from tests.integration.otlp_collector import Collector, collecting

T = TypeVar("T")

WORD = "xylographically"
"""Of every message here; it may stand in no log, no metric and no trace."""


@dataclass(frozen=True)
class Observed:
    service: Service
    metrics_port: int
    collector: Collector
    ray_folder: Path

    def lines(self, **fields: object) -> list[dict[str, Any]]:
        """Lines of our log that have these fields."""
        files = self.ray_folder.glob("ray/session_latest/logs/worker*.err")
        texts = [line for file in files for line in file.read_text().splitlines() if line.startswith("{")]
        return [found for found in map(json.loads, texts) if fields.items() <= found.items()]

    def chat(
        self,
        text: str,
        user: str,
        headers: dict[str, str] | None = None,
        *,
        model: str = "rules",
        stream: bool = False,
    ) -> httpx.Response:
        """Ask with ``WORD`` in the message."""
        message = {"role": "user", "content": f"{text} {WORD}"}
        body = {"model": model, "user": user, "stream": stream, "messages": [message]}
        with self.service.http() as client:
            return client.post("/v1/chat/completions", json=body, headers=headers)

    def scrape(self) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
        """Our series by name and labels, without the labels that Ray adds."""
        text = httpx.get(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=30).text
        assert WORD not in text
        found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name.startswith("ray_personavlm_"):
                    labels = {name: value for name, value in sample.labels.items() if name in OURS}
                    name = sample.name.removeprefix("ray_personavlm_")
                    found.setdefault(name, {})[tuple(sorted(labels.items()))] = sample.value
        return found


OURS = ("tenant", "status", "model", "route", "actor", "le")


@contextmanager
def observing(folder: Path, **sections: object) -> Iterator[Observed]:
    """A service; at its end nothing that it or Ray wrote to a log may hold ``WORD``."""
    keys, port, metrics_port = folder / "keys.json", free_port(), free_port()
    key, foreign = create_key(keys, "acme", replay=True), create_key(keys, "globex")
    with short_folder() as ray_folder, collecting() as collector, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", str(ray_folder))
        settings = {"port": port, "keys_file": str(keys), "metrics_port": metrics_port}
        process, _ = start(folder, service={**settings, "otlp_endpoint": collector.url}, **sections)
        service = Service(f"http://127.0.0.1:{port}", key, key, foreign, folder, process.pid)
        try:
            yield Observed(service, metrics_port, collector, ray_folder)
        finally:
            stop(process)
        for file in ray_folder.rglob("*"):
            assert not file.is_file() or WORD.encode() not in file.read_bytes(), f"{file} quotes a message"


@contextmanager
def short_folder() -> Iterator[Path]:
    """Paths of Ray's sockets may not be long."""
    folder = Path(tempfile.mkdtemp(prefix="pv-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def until(holds: Callable[[], T | None], what: str, seconds: int = 60) -> T:
    """What ``holds`` returns once that is true; Ray and our log write in their own time."""
    pause = threading.Event()
    for _ in range(5 * seconds):
        if found := holds():
            return found
        pause.wait(0.2)
    raise TimeoutError(what)
