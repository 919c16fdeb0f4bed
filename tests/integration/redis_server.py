"""A real Redis for the state of Ray's head, with a password as our manifests' has."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from personavlm.deployments.local_ray import free_port


@dataclass(frozen=True, slots=True)
class Redis:
    """Where it is, and how to be let in."""

    address: str
    password: str


@contextmanager
def redis_server() -> Iterator[Redis]:
    """One that listens once the block begins, and keeps nothing on a disk."""
    port, password = free_port(), "only-for-this-test"
    words = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--requirepass", password]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [*words, "--save", "", "--dir", folder], stdout=subprocess.PIPE, text=True
        ) as process,
    ):
        assert process.stdout
        for line in process.stdout:
            if "Ready to accept connections" in line:
                break
        else:
            raise RuntimeError(f"redis-server ended with status {process.wait()}")
        try:
            yield Redis(f"redis://127.0.0.1:{port}", password)
        finally:
            process.kill()
