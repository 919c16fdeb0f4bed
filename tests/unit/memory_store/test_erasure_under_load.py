"""Erasing from a store that goes on serving others."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from personavlm.memory_store import (
    Turn,
    UserKey,
)
from tests.unit.memory_store.encoders import open_store
from tests.unit.memory_store.steps import say

ANN, BOB, EVE = UserKey("acme", "ann"), UserKey("acme", "bob"), UserKey("other", "ann")


def test_an_open_store_erases_while_others_write(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    users = [UserKey("t", f"user {number}") for number in range(4)]
    kept: dict[UserKey, list[Turn]] = {user: [] for user in users}

    def write(user: UserKey) -> None:
        for number in range(40):
            kept[user].append(say(store, user, number, f"{user.user} says {number}"))

    with ThreadPoolExecutor(len(users)) as pool:
        work = [pool.submit(write, user) for user in users]
        for number in range(5):
            gone = UserKey("t", f"gone {number}")
            say(store, gone, 0, f"what {gone.user} said and nobody else")
            assert store.eraser.erase_user(gone).rows == {"turns": 1}
        for each in work:
            each.result()
    for _ in range(2):
        assert {user: list(store.turns(user)) for user in users} == kept
        assert store.users() == tuple(users)
        store = open_store(tmp_path)
