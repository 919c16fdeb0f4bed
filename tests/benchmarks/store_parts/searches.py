"""Searches: users in memory, users not in memory, after many single adds, and the full ranking."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from functools import partial

import numpy as np

from personavlm.memory_store import SearchRequest
from tests.benchmarks.peers.engines import ENGINES, FAISS, PGVECTOR, RAW_LANCEDB
from tests.benchmarks.peers.items import Item, Peer
from tests.benchmarks.peers.our_store import OurStore, user_key
from tests.benchmarks.store_parts.bench import OURS, Bench, K, p50_ms
from tests.benchmarks.store_parts.data import DIM, Memories, user_name

HOT_USERS = 10
SINGLE_ADDS = 1_000
ADDS_A_PIECE = 33  # so that 31 pieces come together, the most that maintenance leaves alone
FILLER = "filler"


def hot(bench: Bench) -> None:
    """p50 of a vector search for users that were searched before."""
    memories = bench.memories(bench.sizes.small)
    with ExitStack() as stack:
        peers: dict[str, Peer] = {OURS: stack.enter_context(bench.store(bench.loaded(bench.sizes.small)))}
        for engine in ENGINES:
            if not engine.missing:
                peers[engine.name] = stack.enter_context(closing(engine.open(bench.folder(), DIM)))
                users = max(HOT_USERS, int(memories.users * engine.share))
                load(bench, engine.name, peers[engine.name], memories, users)
        sides = {name: partial(hot_search, bench, memories, peer) for name, peer in peers.items()}
        for side in sides.values():
            side(0)
        agreement = {
            name: f" ({_agreement(memories, peer):.0%})" for name, peer in peers.items() if name != OURS
        }
        title = f"Search by vector, user in memory, {bench.sizes.small:,} memories (the same answers: %)"
        ratios = bench.compare(title, "ms", sides, agreement)
    if PGVECTOR.name in ratios:
        bench.report.demand("hot search, p50 over pgvector", ratios[PGVECTOR.name], "<=", 1.0)
    if FAISS.name in ratios:
        bench.report.demand("hot search, p50 over FAISS flat", ratios[FAISS.name], "<=", 5.0)


def load(bench: Bench, name: str, peer: Peer, memories: Memories, users: int) -> None:
    """Give an engine everybody's memories, or those of the first users."""
    for user in bench.track(iter(range(users)), f"load {name}", users):
        peer.load(memories.items(user))
    peer.settle()


def hot_search(bench: Bench, memories: Memories, peer: Peer, repeat: int) -> float:
    queries = memories.queries(bench.sizes.queries, seed=repeat)
    steps = [(user_name(number % HOT_USERS), query) for number, query in enumerate(queries)]
    return p50_ms(lambda step: peer.nearest(*step, K), steps)


def _agreement(memories: Memories, peer: Peer) -> float:
    """The share of the exact answers that the engine gives."""
    found = 0
    for user, query in enumerate(memories.queries(HOT_USERS, seed=99)):
        items = memories.items(user)
        best = np.argsort([-(item.vector @ query) for item in items])[:K]
        found += len({items[place].id for place in best} & set(peer.nearest(user_name(user), query, K)))
    return found / (HOT_USERS * K)


def cold(bench: Bench) -> None:
    """p50 of the first search for a user of whom nothing is in memory. The files are in the page cache."""
    memories = bench.memories(bench.sizes.cold)
    folder = bench.loaded(bench.sizes.cold)
    with ExitStack() as stack:
        ours = stack.enter_context(bench.store(folder, cache_mb=0))
        raw = stack.enter_context(closing(RAW_LANCEDB.open(bench.folder(), DIM)))
        load(bench, RAW_LANCEDB.name, raw, memories, memories.users)
        sides: dict[str, Callable[[int], float]] = {
            OURS: partial(_cold_search, bench, memories, ours),
            RAW_LANCEDB.name: partial(_cold_search, bench, memories, raw),
            f"{OURS}, full ranking": partial(_cold_ranking, bench, memories, ours),
        }
        for side in sides.values():
            side(0)
        ratios = bench.compare(f"First search of a user, {bench.sizes.cold:,} memories", "ms", sides)
    bench.report.demand("cold search, p50 over raw LanceDB", ratios[RAW_LANCEDB.name], "<=", 1.3)


def _others(bench: Bench, memories: Memories, repeat: int) -> Sequence[int]:
    """Users spread over the tables, other ones in every repeat."""
    order = np.random.default_rng(7).permutation(memories.users)
    first = repeat * bench.sizes.cold_queries
    return [int(order[place % len(order)]) for place in range(first, first + bench.sizes.cold_queries)]


def _cold_search(bench: Bench, memories: Memories, peer: Peer, repeat: int) -> float:
    query = memories.queries(1, seed=repeat)[0]
    users = _others(bench, memories, repeat)
    if isinstance(peer, OurStore):
        peer.store.evict()  # where users are few, the next repeat has some of them again
    return p50_ms(lambda user: peer.nearest(user_name(user), query, K), users)


def _cold_ranking(bench: Bench, memories: Memories, ours: OurStore, repeat: int) -> float:
    request = SearchRequest(
        "red bicycle, birthday", "What did my sister Ana write about the bicycle? Entry 5"
    )
    users = _others(bench, memories, repeat)
    return p50_ms(lambda user: ours.store.search(user_key(user_name(user)), request), users)


def after_adds(bench: Bench) -> None:
    """Searches after 1,000 single adds, over compacted; and where those came so slowly that they stand in as
    many pieces as maintenance ever leaves alone."""
    memories = bench.memories(bench.sizes.small)
    names = ("after single adds", f"in {SINGLE_ADDS // ADDS_A_PIECE + 1} pieces", "compacted")
    folders = [bench.folder() for _ in names]
    for folder, adds_a_piece in zip(folders, (SINGLE_ADDS, ADDS_A_PIECE, SINGLE_ADDS), strict=True):
        with bench.store(folder) as store:
            load(bench, OURS, store, memories, memories.users)
            compact(store)
            _add_singly(bench, store, memories, adds_a_piece)
    with bench.store(folders[-1]) as store:
        compact(store)
    for cache_mb, kind in ((512, "in memory"), (0, "not in memory")):
        with ExitStack() as stack:
            stores = [stack.enter_context(bench.store(folder, cache_mb)) for folder in folders]
            search = _cold_search if cache_mb == 0 else hot_search
            sides = {
                name: partial(search, bench, memories, store)
                for name, store in zip(names, stores, strict=True)
            }
            for side in sides.values():
                side(0)
            ratios = bench.compare(
                f"Search by vector after {SINGLE_ADDS:,} single adds, user {kind}", "ms", sides
            )
        bench.report.demand(
            f"search after single adds, user {kind}, p50 over compacted", ratios[names[-1]], "<=", 1.5
        )


def _add_singly(bench: Bench, store: OurStore, memories: Memories, adds_a_piece: int) -> None:
    """Adds over all users, with a drain after every so many beside those that come by themselves."""
    first = memories.users * memories.per_user
    for number in bench.track(iter(range(SINGLE_ADDS)), "single adds", SINGLE_ADDS):
        (item,) = memories.numbered(number % memories.users, [first + number])
        store.add(item)
        store.store.index(user_key(item.user))
        if number % adds_a_piece == adds_a_piece - 1:
            store.store.flush()


def compact(ours: OurStore) -> None:
    """Give maintenance a reason: tables of few pieces are left as they are."""
    for number in range(32):
        ours.add(Item("", FILLER, f"Something else. Entry {number}.", "", np.zeros(0, np.float32)))
        ours.store.index(user_key(FILLER))
        ours.store.flush()
    ours.store.maintain()
