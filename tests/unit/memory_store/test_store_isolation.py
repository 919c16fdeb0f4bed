"""Nobody's data is ever another's, whatever the names and ids."""

from collections.abc import Iterator
from pathlib import Path

import lancedb
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from personavlm.memory_store import (
    Add,
    MemoryKind,
    MemoryStore,
    SearchRequest,
    TurnDraft,
    UserKey,
    utc_now,
)
from personavlm.memory_store.storage.settings import StorageSettings
from personavlm.memory_store.storage.sql import quoted
from personavlm.memory_store.storage.tables import uid_of
from tests.unit.memory_store.encoders import ByteEncoder, WordEncoder, open_store
from tests.unit.memory_store.places import examples, place, stored

# Names that quoting, patterns, paths or joining with a separator might take for something else.
HOSTILE = [
    "",
    "a",
    "aa",
    "ab",
    "b",
    "'",
    "''",
    "' OR '1'='1",
    "%",
    "_",
    "\\",
    "1:a",
    ":",
    "a:",
    "a\0b",
    "é",
    "e\u0301",
]
NAMES = st.sampled_from(HOSTILE) | st.text(max_size=4)
USERS = st.builds(UserKey, NAMES, NAMES)
EXAMPLES = settings(max_examples=examples(25), deadline=None)


@EXAMPLES
@given(first=USERS, second=USERS)
def test_no_two_users_share_a_filter(first: UserKey, second: UserKey) -> None:
    assume(first != second)
    assert uid_of(first) != uid_of(second)


def test_a_quoted_text_matches_itself_alone(tmp_path: Path) -> None:
    table = lancedb.connect(tmp_path).create_table("texts", schema=pa.schema({"text": pa.string()}))

    @EXAMPLES
    @given(texts=st.lists(NAMES, min_size=1, max_size=4))
    def check(texts: list[str]) -> None:
        table.delete("true")
        table.add(pa.table({"text": [*HOSTILE, *texts]}))
        for text in texts:
            found = table.search().where(f"text = {quoted(text)}").limit(None).to_arrow()["text"].to_pylist()
            assert found == [text] * [*HOSTILE, *texts].count(text)

    check()


@EXAMPLES
@given(users=st.lists(USERS, min_size=2, max_size=4, unique=True))
def test_users_see_their_own_data_alone(
    users: list[UserKey], shared: MemoryStore, said: dict[UserKey, list[str]]
) -> None:
    for number, user in enumerate(users):
        text = f"tea {len(said.setdefault(user, []))} of {number}"
        # The same client id and source for all of them, new for each round.
        turn = shared.append_turn(user, TurnDraft(text, "", client_id=f"id {len(said[user])}"))
        image = shared.put_image(user, text.encode(), "image/png", 1, 1)
        add = Add(text, utc_now(), (turn.id,), images=(image,))
        shared.apply(user, MemoryKind.SEMANTIC, f"turn {len(said[user])}", [add])
        said[user].append(text)
    shared.flush()
    shared.evict()  # so that the tables answer
    for user in users:
        check_owner(shared, user, said[user])


def check_owner(store: MemoryStore, user: UserKey, said: list[str]) -> None:
    assert [turn.user_text for turn in store.turns(user)] == said
    assert [memory.text for memory in store.memories(user)] == said
    assert [entry.text for entry in store.timeline(user, newest_first=False)] == sorted(
        said * 2, key=said.index
    )
    found = store.search(user, SearchRequest("tea", "tea of", k_semantic=99, k_visual=99, k_turns=99))
    for hits in (found.turns, (*found.semantic, *found.visual)):
        assert sorted(said) == sorted(getattr(hit.item, "user_text", "") or hit.item.text for hit in hits)  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryStore]:
    with MemoryStore.open(
        place(tmp_path_factory.mktemp("shared")),
        text_encoder=WordEncoder(),
        image_encoder=ByteEncoder(),
        storage=stored(StorageSettings()),
    ) as store:
        yield store


@pytest.fixture(scope="module")
def said() -> dict[UserKey, list[str]]:
    """What each user said so far in the shared store: examples build on each other."""
    return {}


def test_the_users_of_a_store(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    users = [UserKey("a", "bc"), UserKey("ab", "c"), UserKey("b", "'")]
    store.apply(users[0], MemoryKind.CORE, "s", [])
    for user in users[1:]:
        store.append_turn(user, TurnDraft("a", "b"))
    for _ in range(2):
        assert store.turns(UserKey("nobody", "x")) == ()
        assert store.users() == tuple(users)
        store = open_store(tmp_path)
