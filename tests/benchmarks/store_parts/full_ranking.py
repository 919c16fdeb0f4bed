"""The whole search, with the encoder that ships: words, vectors, tokens, times."""

from contextlib import closing
from dataclasses import replace
from functools import partial

from personavlm.memory_store import SearchRequest
from personavlm.platform.encoders.minilm import MiniLmEncoder
from tests.benchmarks.peers.our_store import OurStore, user_key
from tests.benchmarks.report import timed
from tests.benchmarks.store_parts.bench import Bench, p50_ms
from tests.benchmarks.store_parts.data import DIM, Memories

REQUESTS = [
    SearchRequest("sister, red bicycle", "What did my sister Ana write about the bicycle?"),
    SearchRequest("market, Porto", "When did we go to the market in Porto?"),
    SearchRequest("teacher, opera", "Who had tickets to the opera, my old teacher?"),
    SearchRequest("house, river, rain", "Why could he not find the house by the river?"),
]


def ranking(bench: Bench) -> None:
    """p50 of a search of a user in memory, its encoding included, by the number of the user's memories."""
    encoder = MiniLmEncoder()
    queries = bench.sizes.queries // 5
    with closing(OurStore(bench.folder(), DIM, 512, encoder)) as ours:
        for rows in bench.track(iter(bench.sizes.ranked), "encode memories", len(bench.sizes.ranked)):
            items = Memories(1, bench.vectors, per_user=rows).items(0)
            ours.load([replace(item, user=f"user of {rows}") for item in items])
        sides = {
            f"{rows:,} memories": partial(_search, ours, f"user of {rows}", queries)
            for rows in bench.sizes.ranked
        }
        for side in sides.values():
            side(0)
        bench.compare("Full search, user in memory, MiniLM on one thread", "ms", sides)
    texts = [REQUESTS[0].keywords, REQUESTS[0].query]
    bench.report.samples(
        "of a full search: encoding the query", "ms", timed(lambda: encoder.encode(texts), 20)
    )


def _search(ours: OurStore, user: str, queries: int, repeat: int) -> float:
    requests = [REQUESTS[(repeat + number) % len(REQUESTS)] for number in range(queries)]
    return p50_ms(lambda request: ours.store.search(user_key(user), request), requests)
