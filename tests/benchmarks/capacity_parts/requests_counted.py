"""What a turn asks of object storage: a store in a bucket of moto's server, its requests counted."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import ThreadingHTTPServer
from threading import Lock, Thread
from urllib.parse import urlsplit

from personavlm.memory_store import Add, MemoryKind, MemoryStore, Progress, TurnDraft, UserKey
from personavlm.memory_store.storage.settings import StorageSettings
from tests.unit.memory_store.bucket_server import BucketServer, Proxy, bucket_server
from tests.unit.memory_store.encoders import ByteEncoder, WordEncoder

TURNS = 20
USER = UserKey("tenant", "user")


@dataclass(frozen=True, slots=True)
class Asked:
    """Requests of one turn, and seconds of one commit, the median."""

    puts: float
    gets: float
    commit_s: float


class _Counting(Proxy):
    counts: Counter[str]
    counting: Lock

    def do_any(self) -> None:
        # A list is a GET of the bucket itself, and is charged like a write.
        dear = self.command != "GET" or "list-type=" in self.path
        if self.command not in ("HEAD", "DELETE"):
            with self.counting:
                self.counts["puts" if dear else "gets"] += 1
        elif self.command == "HEAD":
            with self.counting:
                self.counts["gets"] += 1
        super().do_any()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_any


@contextmanager
def counted(server: BucketServer) -> Iterator[tuple[BucketServer, Counter[str]]]:
    """The same bucket through a proxy that counts, and its counts."""
    counts: Counter[str] = Counter()
    members = {"upstream": urlsplit(server.endpoint).netloc, "counts": counts, "counting": Lock()}
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Counting", (_Counting,), members)) as proxy:
        thread = Thread(target=proxy.serve_forever)
        thread.start()
        try:
            yield BucketServer(f"http://127.0.0.1:{proxy.server_port}"), counts
        finally:
            proxy.shutdown()
            thread.join()


def asked_of_storage() -> Asked:
    """Store turns and what an update stage makes of them, one after the other."""
    with bucket_server() as server, counted(server) as (proxy, counts):
        storage = StorageSettings("commit", proxy.options)
        with MemoryStore.open(
            proxy.new_uri(), text_encoder=WordEncoder(), image_encoder=ByteEncoder(), storage=storage
        ) as store:
            _turn(store, 0)  # the first loads the user
            counts.clear()
            commits = [_turn(store, number) for number in range(1, TURNS + 1)]
            asked = dict(counts)
    return Asked(asked["puts"] / TURNS, asked["gets"] / TURNS, statistics.median(commits))


def _turn(store: MemoryStore, number: int) -> float:
    """One turn, and an update as the rules engine's: a fact, and progress; seconds of the turn's commit."""
    time_of = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
    began = time.perf_counter()
    turn = store.append_turn(USER, TurnDraft(f"turn {number}", "ok", event_time=time_of))
    seconds = time.perf_counter() - began
    fact = Add(f"fact {number}", turn.event_time, (turn.id,))
    store.apply(USER, MemoryKind.SEMANTIC, f"turn:{turn.id}", [fact])
    store.save_progress(USER, Progress(number + 1, 0))
    store.index(USER)
    return seconds
