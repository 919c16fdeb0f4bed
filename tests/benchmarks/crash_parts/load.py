"""The process that is killed: clients in threads write to one store and report each acknowledgement.

    python -m tests.benchmarks.crash_parts.load FOLDER '{"durability": ..., "seed": ..., "first": {...}}'

A line on standard output is a JSON list: what happened, whose it is, which one. ``begun`` lines announce an
erasure before it is asked for. A write that is refused is reported and tried again, as a client does.
"""

import json
import os
import random
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Lock, Thread

from personavlm.memory_store import (
    Add,
    MemoryKind,
    MemoryStore,
    Profile,
    SearchRequest,
    TurnDraft,
    UserKey,
    utc_now,
)
from personavlm.memory_store.errors import StoreError
from personavlm.memory_store.storage.settings import StorageSettings
from personavlm.memory_store.storage.table_repair import UNREADABLE
from tests.unit.memory_store.encoders import ByteEncoder, WordEncoder
from tests.unit.memory_store.places import place, stored

TENANT = "tenant"
PAUSE_S = 0.02  # between a refusal and the next try
REFUSALS = (StoreError, *UNREADABLE)

_turn_to_speak = Lock()


def report(*event: str | int) -> None:
    """One line, whole or not at all."""
    with _turn_to_speak:
        os.write(1, (json.dumps(event) + "\n").encode())


def marker(user: str) -> str:
    """32 characters that no compression shortens and only this user's texts hold."""
    return random.Random(user).randbytes(16).hex()


def image_of(user: str, number: int) -> bytes:
    """Bytes of an image that only this user has."""
    return b"\x89PNG" + random.Random(f"{user} {number}").randbytes(3_000) + marker(user).encode()


def until_done(work: Callable[[], object]) -> None:
    """Try until it is not refused."""
    while True:
        try:
            work()
        except REFUSALS as error:
            report("refused", type(error).__name__, str(error)[:300])
            time.sleep(PAUSE_S)
        else:
            return


class Client:
    """One user's: says, remembers, rates, shows images, one thing after the other."""

    def __init__(self, store: MemoryStore, user: str, first: int) -> None:
        self._store, self._user, self._key = store, user, UserKey(TENANT, user)
        self._number = first

    def run(self) -> None:
        """Until the process ends."""
        while True:
            self.step()

    def step(self) -> None:
        """Everything that belongs to one turn."""
        number = self._number
        until_done(self._turn)
        until_done(self._facts)
        if number % 3 == 0:
            until_done(self._profile)
        if number % 5 == 0:
            until_done(self._search)
        self._number += 1

    def _turn(self) -> None:
        number, images = self._number, []
        if number % 7 == 0:
            images = [self._store.put_image(self._key, image_of(self._user, number), "image/png", 9, 9)]
            report("image", self._user, number)
        text = f"turn {number} {marker(self._user)}"
        draft = TurnDraft(text, "ok", client_id=str(number), images=tuple(images))
        self._store.append_turn(self._key, draft)
        report("turn", self._user, number)

    def _facts(self) -> None:
        number = self._number
        adds = [Add(f"fact {number} {part} {marker(self._user)}", utc_now(), ()) for part in "ab"]
        self._store.apply(self._key, MemoryKind.SEMANTIC, f"step {number}", adds)
        report("fact", self._user, number)

    def _profile(self) -> None:
        now = utc_now()
        profile = Profile(
            version=0, source=f"profile {self._number}", cause="reset", event_time=now, recorded_at=now
        )
        self._store.save_profile(self._key, profile)
        report("profile", self._user, self._number)

    def _search(self) -> None:
        self._store.index(self._key)
        self._store.search(self._key, SearchRequest(f"turn {self._number}"))


def erase_users(store: MemoryStore, run: int) -> None:
    """Users who write a little and are erased, one after the other, until the process ends."""
    number = 0
    while True:
        user = f"gone {run} {number}"
        client = Client(store, user, 0)
        for _ in range(2):
            client.step()
        report("begun", user, 0)
        until_done(partial(store.eraser.erase_user, UserKey(TENANT, user)))
        report("erased", user, 0)
        number += 1


def maintain(store: MemoryStore, chance: random.Random) -> None:
    """Drain and compact at random moments, until the process ends."""
    while True:
        time.sleep(chance.uniform(0, 0.3))
        until_done(store.flush)
        until_done(store.maintain)


def main() -> None:
    options = json.loads(sys.argv[2])
    store = MemoryStore.open(
        place(Path(sys.argv[1])),
        text_encoder=WordEncoder(),
        image_encoder=ByteEncoder(),
        storage=stored(StorageSettings(options["durability"])),
    )
    work: list[Callable[[], None]] = [
        Client(store, user, first).run for user, first in options["first"].items()
    ]
    work.append(lambda: erase_users(store, options["seed"]))
    work.append(lambda: maintain(store, random.Random(options["seed"])))
    report("ready", "", 0)
    threads = [Thread(target=each) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
