"""Starting the process that is killed, hearing its acknowledgements, killing it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Condition, Thread
from typing import Any, Self

from tests.benchmarks.crash_parts.ledger import Event

ROOT = Path(__file__).parents[3]
SOURCES = ("memory_store", "platform", "deployments", "jobs", ".")
PATIENCE_S = 120.0  # for anything to happen: then the run has failed


class Victim:
    """A process under load. ``events`` are the acknowledgements heard so far, in order."""

    def __init__(self, command: Sequence[str]) -> None:
        path = os.pathsep.join([*(str(ROOT / name) for name in SOURCES), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "PYTHONPATH": path, "RUST_LOG": "error"}
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        self.events: list[Event] = []
        self.refusals: list[str] = []
        self.ready = False
        self._heard = Condition()
        self._ended = False
        self._listener = Thread(target=self._listen)
        self._listener.start()

    @classmethod
    def start(
        cls,
        folder: Path,
        first: dict[str, int],
        seed: int,
        durability: str = "journal",
        tail_rows: int = 50_000,
    ) -> Self:
        """Clients of one store, see ``load``."""
        options = {"durability": durability, "seed": seed, "first": first, "tail_rows": tail_rows}
        module = "tests.benchmarks.crash_parts.load"
        return cls([sys.executable, "-m", module, str(folder), json.dumps(options)])

    @property
    def pid(self) -> int:
        return self._process.pid

    def _listen(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            with self._heard:
                self._take_in(line)
                self._heard.notify_all()
        with self._heard:
            self._ended = True
            self._heard.notify_all()

    def _take_in(self, line: str) -> None:
        if not line.endswith("\n"):  # cut short by the kill: nobody has heard it
            return
        what, *details = json.loads(line)
        if what == "ready":
            self.ready = True
        elif what == "refused":
            self.refusals.append(": ".join(details))
        else:
            self.events.append((what, *details))

    def wait_for(self, condition: Callable[[], Any]) -> None:
        """Wait until what was heard meets a condition. RuntimeError when that never comes."""
        with self._heard:
            met = self._heard.wait_for(lambda: self._ended or condition(), PATIENCE_S)
            if not met or (self._ended and not condition()):
                raise RuntimeError(f"the process went silent after {len(self.events)} acknowledgements")

    def kill(self) -> list[Event]:
        """``kill -9``; everything that it acknowledged. RuntimeError if it had ended by itself."""
        self._process.send_signal(signal.SIGKILL)
        self._listener.join()
        status = self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()
        if status != -signal.SIGKILL:
            raise RuntimeError(f"the process ended by itself, status {status}")
        return self.events
