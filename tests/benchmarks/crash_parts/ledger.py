"""What was acknowledged, and whether a store still has all of it, once, in order."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from personavlm.memory_store import (
    MemoryKind,
    MemoryStore,
    NotFoundError,
    SearchRequest,
    UserKey,
)
from tests.benchmarks.crash_parts.load import TENANT, image_of, marker

USERS = tuple(f"user {number}" for number in range(5))

Event = tuple[str, str, int]


@dataclass(slots=True)
class Findings:
    """What is wrong with a store, in words that name it."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def add(self, other: "Findings") -> None:
        """Take in what another look found."""
        self.lost += other.lost
        self.doubled += other.doubled
        self.wrong += other.wrong

    def __bool__(self) -> bool:
        return bool(self.lost or self.doubled or self.wrong)


class Ledger:
    """Everything that one store acknowledged over its life."""

    def __init__(self) -> None:
        self.events: set[Event] = set()

    def take_in(self, events: Iterable[Event]) -> None:
        """Learn of acknowledgements."""
        self.events.update(events)

    def numbers(self, what: str, user: str) -> set[int]:
        """Numbers of what was acknowledged of one kind to one user."""
        return {number for kind, owner, number in self.events if (kind, owner) == (what, user)}

    def users(self, what: str) -> list[str]:
        """Everyone with something of one kind."""
        return sorted({owner for kind, owner, _ in self.events if kind == what})

    def first(self) -> dict[str, int]:
        """Where each client goes on: with the turn acknowledged last, which it sends again."""
        return {user: max(self.numbers("turn", user), default=0) for user in USERS}

    def settle(self, store: MemoryStore) -> None:
        """Of erasures that were begun and not confirmed, learn which were carried out."""
        self.take_in(("erased", receipt.user, 0) for receipt in store.eraser.receipts(TENANT))

    def check(self, store: MemoryStore, folder: Path) -> Findings:
        """Look at everything, in rows and, for who was erased, in the bytes of all files."""
        found = Findings()
        erased = self.users("erased")
        for user in sorted(set(self.users("turn")) - set(erased)):
            found.add(self._check_user(store, user))
        for user in erased:
            key = UserKey(TENANT, user)
            if store.turns(key) or store.memories(key) or store.profile(key).version or key in store.users():
                found.wrong.append(f"{user} was erased and is there")
        found.wrong += held_bytes(folder, [marker(user) for user in erased])
        if any((folder / "erasures").glob("*")):
            found.wrong.append("an erasure was not finished")
        return found

    def _check_user(self, store: MemoryStore, user: str) -> Findings:
        key, found = UserKey(TENANT, user), Findings()
        turns = store.turns(key)
        said = Counter(int(turn.client_id) for turn in turns)
        facts = Counter(memory.text for memory in store.memories(key, MemoryKind.SEMANTIC))
        steps = Counter(int(text.split()[1]) for text in facts.elements())
        profiles = Counter(int(profile.source.split()[1]) for profile in store.profile_history(key))
        for what, there in (("turn", said), ("fact", steps), ("profile", profiles)):
            found.lost += [f"{what} {n} of {user}" for n in sorted(self.numbers(what, user) - there.keys())]
        for what, counts in (("turn", said), ("fact", facts), ("profile", profiles)):
            found.doubled += [f"{what} {name} of {user}" for name, count in counts.items() if count > 1]
        if list(said) != list(range(len(said))) or [turn.index for turn in turns] != list(range(len(turns))):
            found.wrong.append(f"the turns of {user} are out of order")
        if any(turn.user_text != f"turn {turn.client_id} {marker(user)}" for turn in turns):
            found.wrong.append(f"a turn of {user} has another text")
        found.wrong += [f"half of step {number} of {user}" for number, n in steps.items() if n % 2]
        found.lost += [
            f"image {n} of {user}" for n in self.numbers("image", user) if not _shown(store, user, n)
        ]
        store.search(key, SearchRequest(f"turn {len(turns)}"))
        return found


def _shown(store: MemoryStore, user: str, number: int) -> bool:
    """Whether the image is there and whole."""
    data = image_of(user, number)
    try:
        return store.image(UserKey(TENANT, user), hashlib.sha256(data).hexdigest()) == data
    except NotFoundError:
        return False


def held_bytes(folder: Path, needles: Sequence[str]) -> list[str]:
    """Files below the folder that hold one of the needles, hidden files and folders too."""
    found = []
    for path in folder.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        held = [needle for needle in needles if needle.encode() in data]
        found += [f"{path.relative_to(folder)} holds {needle}" for needle in held]
    return found
