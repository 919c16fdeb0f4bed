"""The peers of the store's benchmark answer as they should: what is timed is the right work."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import lancedb
import numpy as np
import pytest

from tests.benchmarks.peers.engines import ENGINES, Engine
from tests.benchmarks.peers.items import Item, Peer
from tests.benchmarks.peers.our_store import OurStore
from tests.benchmarks.peers.writers import Grouped, LanceCommits, SqliteInserts
from tests.benchmarks.store_parts.data import Memories, NumberEncoder, RandomVectors, text_of, user_name

DIM, USERS, PER_USER, K = 32, 4, 30, 5
MEMORIES = Memories(USERS, RandomVectors(DIM), PER_USER)


def best(items: list[Item], query: np.ndarray) -> list[str]:
    """Ids by brute force."""
    return [item.id for item in sorted(items, key=lambda item: -float(item.vector @ query))][:K]


@pytest.fixture(scope="module", params=ENGINES, ids=lambda engine: engine.name)
def peer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    engine: Engine = request.param
    if engine.missing:
        pytest.skip(f"not installed: {', '.join(engine.missing)}")
    with closing(engine.open(tmp_path_factory.mktemp("peer"), DIM)) as peer:
        yield peer


@pytest.mark.filterwarnings("default")  # of the engines themselves
def test_a_peer_finds_what_brute_force_finds(peer: Peer) -> None:
    for items in MEMORIES.by_user():
        peer.load(items)
    peer.settle()
    for user, query in enumerate(MEMORIES.queries(USERS, seed=3)):
        assert peer.nearest(user_name(user), query, K) == best(MEMORIES.items(user), query)


@pytest.mark.filterwarnings("default")
def test_a_peer_finds_what_was_added_last(peer: Peer) -> None:
    one, another = USERS, USERS + 1
    peer.load(MEMORIES.items(one))
    peer.settle()
    (added,) = MEMORIES.numbered(one, [9_999], reply=True)
    (of_another,) = MEMORIES.numbered(another, [9_998])
    peer.add(added)
    peer.add(of_another)
    assert peer.nearest(user_name(one), added.vector, K)[0] == added.id
    assert peer.nearest(user_name(another), added.vector, K) == [of_another.id]


def test_the_store_finds_what_brute_force_finds(tmp_path: Path) -> None:
    encoder = NumberEncoder(MEMORIES.vectors)
    with closing(OurStore(tmp_path, DIM, 10, encoder)) as ours:
        for items in MEMORIES.by_user():
            ours.load(items)
        ours.settle()
        for user, query in enumerate(MEMORIES.queries(USERS, seed=3)):
            assert ours.found(user_name(user), query, K) == [
                text_of(int(id[1:])) for id in best(MEMORIES.items(user), query)
            ]


@pytest.mark.parametrize("kind", [SqliteInserts, LanceCommits])
def test_a_group_commit_stores_every_item_once(
    kind: type[SqliteInserts] | type[LanceCommits], tmp_path: Path
) -> None:
    items = [MEMORIES.numbered(number % USERS, [number])[0] for number in range(40)]
    with closing(Grouped(kind(tmp_path))) as writer, ThreadPoolExecutor(8) as pool:
        list(pool.map(writer.add, items))
    assert sorted(stored_ids(tmp_path)) == sorted(item.id for item in items)


def stored_ids(folder: Path) -> list[str]:
    if (folder / "rows.sqlite").exists():
        with closing(sqlite3.connect(folder / "rows.sqlite")) as db:
            return [id for (id,) in db.execute("select id from rows")]
    return list(lancedb.connect(str(folder)).open_table("rows").to_arrow()["id"].to_pylist())


def test_vectors_are_of_length_one_and_known_by_number() -> None:
    vectors = RandomVectors(DIM)
    numbers = np.array([0, 1, 8191, 8192, 8193, 999_999])
    found = vectors.of(numbers)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert np.array_equal(found, RandomVectors(DIM).of(numbers))
    assert np.abs(np.triu(found @ found.T, 1)).max() < 0.9
    texts = [text_of(int(number)) for number in numbers]
    assert len(set(texts)) == len(texts)
    assert np.array_equal(NumberEncoder(vectors).encode(texts), found)
