"""Thousands of users with names made to be confused, written by several threads at once."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import lancedb
import pytest

from personavlm.memory_store import (
    Add,
    MemoryKind,
    MemoryStore,
    NotFoundError,
    Profile,
    SearchRequest,
    TurnDraft,
    UserKey,
)
from personavlm.memory_store.storage.sql import any_of
from personavlm.memory_store.storage.tables import uid_of
from tests.unit.memory_store.encoders import ByteEncoder, WordEncoder
from tests.unit.memory_store.steps import day

THREADS = 6
SAMPLE = 150  # users who are also searched, with images and vectors

# Prefixes of each other, quotes, patterns, separators, NULs, and letters that look or fold alike.
PARTS = ["", "a", "aa", "A", "1", "1:", ":", "'", "''", '"', "%", "_", "\\", "\0", "/", "..", " ", "\n"]
PARTS += [
    "é",
    "e\u0301",
    "\u0430",
    "\uff41",
    "ß",
    "ss",
    "\u200b",
    "\ufeff",
    "--",
    ";",
    "NULL",
    "*",
    "\U0001f600",
]
NAMES = [first + second for first, second in product(PARTS, PARTS[:4])]


def all_users() -> list[UserKey]:
    """Every name with many tenants, and every cut of one string into tenant and user."""
    names = sorted(set(NAMES))
    tenants = names[:: len(names) // 20]
    cuts = ["aaaaaaaaaa", "1:1:1:1:1", "''''''''", "a\0a\0a\0a", "%_%_%_"]
    users = {UserKey(tenant, name) for tenant, name in product(tenants, names)}
    users |= {UserKey(text[:cut], text[cut:]) for text in cuts for cut in range(len(text) + 1)}
    return sorted(users, key=lambda user: (user.tenant, user.user))


USERS = all_users()


def own_words(number: int) -> str:
    """Words that only this user says."""
    return random.Random(number).randbytes(8).hex()


def image_of(number: int) -> bytes:
    return b"\x89PNG" + own_words(number).encode()


def fill(store: MemoryStore, number: int) -> None:
    """The same client ids, sources, keys and times for everyone; the words are their own."""
    user, words = USERS[number], own_words(number)
    sampled = number % (len(USERS) // SAMPLE) == 0
    images = (store.put_image(user, image_of(number), "image/png", 1, 1),) if sampled else ()
    turn = store.append_turn(user, TurnDraft(words, "ok", day(0), images, client_id="1"))
    core = Add(words, day(0), (turn.id,), key="name")
    store.apply(user, MemoryKind.CORE, "turn:1", [core])
    if sampled:
        store.apply(user, MemoryKind.SEMANTIC, "turn:1", [Add(words, day(0), (), images=images)])
        traits = (1 + number / len(USERS),) * 5
        profile = Profile(
            version=0, traits=traits, cause="reset", source="s", event_time=day(0), recorded_at=day(0)
        )
        store.save_profile(user, profile)
        store.index(user)


def check(store: MemoryStore, number: int) -> None:
    user, words = USERS[number], own_words(number)
    (turn,) = store.turns(user)
    memories = store.memories(user)
    assert (turn.user_text, turn.index, {memory.text for memory in memories}) == (words, 0, {words})
    assert store.append_turn(user, TurnDraft("sent again", "ok", client_id="1")) == turn
    if number % (len(USERS) // SAMPLE) == 0:
        check_sampled(store, number)


def check_sampled(store: MemoryStore, number: int) -> None:
    user, next_user = USERS[number], USERS[(number + 1) % len(USERS)]
    mine = {turn.id for turn in store.turns(user)} | {memory.id for memory in store.memories(user)}
    for words in (own_words(number), own_words(number + 1)):
        found = store.search(user, SearchRequest(words, words, k_turns=9, k_semantic=9, k_visual=9))
        assert found.ids() <= mine
    (image,) = store.turns(user)[0].images
    assert store.image(user, image.sha256) == image_of(number)
    for act in (store.image, store.turn, store.history):
        with pytest.raises(NotFoundError):
            act(next_user, image.sha256 if act == store.image else min(mine))
    assert store.profile(user).traits[0] == 1 + number / len(USERS)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MemoryStore, Path]]:
    folder = tmp_path_factory.mktemp("many")
    with MemoryStore.open(folder, text_encoder=WordEncoder(), image_encoder=ByteEncoder()) as store:
        with ThreadPoolExecutor(THREADS) as pool:
            order = random.Random(1).sample(range(len(USERS)), len(USERS))
            list(pool.map(lambda number: fill(store, number), order))
        yield store, folder


def test_thousands_of_users_see_their_own_alone(filled: tuple[MemoryStore, Path]) -> None:
    store, _ = filled
    assert len(USERS) > 2_000
    assert list(store.users()) == USERS
    for from_tables in (False, True):
        if from_tables:
            store.flush()
            store.maintain()
            store.evict()
        step = 3 if from_tables else 1  # a load takes a hundred times as long as a look into memory
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda number: check(store, number), range(0, len(USERS), step)))


def rows_in_all_versions(folder: Path, name: str, condition: str) -> int:
    """Rows that meet a condition, over every version that there is. (In files they may be compressed.)"""
    table = lancedb.connect(folder).open_table(name)
    rows = 0
    for version in table.list_versions():
        table.checkout(version["version"])
        rows += table.count_rows(condition)
    return rows


def test_erasing_some_leaves_their_neighbours_whole(filled: tuple[MemoryStore, Path]) -> None:
    """Last, since it takes users away: one tenant, and of the others every two-hundredth user."""
    store, folder = filled
    tenant = USERS[len(USERS) // 2].tenant
    gone = {number for number, user in enumerate(USERS) if user.tenant == tenant or number % 200 == 0}
    others = [USERS[number] for number in sorted(gone) if USERS[number].tenant != tenant]
    everyone = any_of("tenant", [user.tenant for user in USERS])
    assert rows_in_all_versions(folder, "turns", everyone) >= len(USERS)
    store.eraser.erase_tenant(tenant)
    store.eraser.erase_users(others, "user")
    store.evict()
    assert list(store.users()) == [user for number, user in enumerate(USERS) if number not in gone]
    left = any_of("uid", [uid_of(USERS[number]) for number in sorted(gone)])
    assert sum(rows_in_all_versions(folder, table, left) for table in store.stats().rows) == 0
    for number in range(0, len(USERS), 7):
        if number in gone:
            assert store.turns(USERS[number]) == () and store.memories(USERS[number]) == ()
        else:
            check(store, number)
