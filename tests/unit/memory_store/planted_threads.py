"""Planted episodes whose threads are known: invented users whose matters go on over months.

A file of ``threads/`` lists threads, each with a line per episode (``text | keywords``), and lone episodes
under ``# alone``. Names are drawn per user from a small circle, so the same friend or city comes up in
several matters: sharing one name does not make a thread. What links are scored with was fitted on one
file; the other holds other matters altogether.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from itertools import combinations
from math import nan
from pathlib import Path
from random import Random

from personavlm.memory_store import EpisodicMemory, TextEncoder
from personavlm.memory_store.lifecycle.links import MOST_LINKS, mentions, relations
from tests.unit.memory_store.steps import day

FOLDER = Path(__file__).with_name("threads")
POOLS = {
    "friend": ["Ana", "Jonas", "Mira", "Tom", "Leila", "Piet"],
    "city": ["Porto", "Kyoto", "Ghent", "Oslo"],
    "pet": ["Rex", "Luna", "Biscuit", "Olga"],
    "street": ["Linden", "Mill", "Canal"],
    "company": ["Nordwind", "Acelo", "Brightwater"],
    "surname": ["Halvorsen", "Okafor", "Whitby"],
    "name": ["Ida", "Ruth", "Emma"],
    "cncity": ["成都", "杭州", "厦门"],
    "cnpet": ["豆豆", "年糕"],
}
ALIASES = {"other": "friend", "cncity2": "cncity"}


@dataclass(frozen=True, slots=True)
class Planted:
    """One user's episodes in order of time, and of each the thread that it belongs to."""

    episodes: tuple[EpisodicMemory, ...]
    threads: tuple[str, ...]

    def related(self) -> set[tuple[str, str]]:
        """Pairs of episodes of one thread, each the newer one first."""
        pairs = combinations(zip(self.episodes, self.threads, strict=True), 2)
        return {(b.id, a.id) for (a, one), (b, two) in pairs if one == two}


@cache
def read_threads(name: str) -> dict[str, list[str]]:
    """Lines by thread."""
    threads: dict[str, list[str]] = {}
    for line in (FOLDER / f"{name}.txt").read_text().splitlines():
        if line.startswith("# "):
            threads[line[2:]] = []
        else:
            threads[next(reversed(threads))].append(line)
    return threads


def plant(name: str, seed: int) -> Planted:
    """A user with some of the file's threads and lone episodes, spread over months."""
    rng = Random(seed)
    threads = dict(read_threads(name))
    alone = threads.pop("alone")
    chosen = rng.sample(sorted(threads), rng.randint(2, len(threads)))
    told: list[tuple[float, str, str]] = []
    for number, thread in enumerate(chosen):
        names = _names(rng)
        begin = rng.uniform(0, 200)
        for step, line in enumerate(threads[thread]):
            told.append((begin + step * rng.uniform(5, 30), line.format(**names), f"{number} {thread}"))
    for number, line in enumerate(rng.sample(alone, rng.randint(2, len(alone)))):
        told.append((rng.uniform(0, 300), line.format(**_names(rng)), f"alone {number}"))
    told.sort()
    episodes = tuple(_episode(f"e_{seed}_{i}", time, line) for i, (time, line, _) in enumerate(told))
    return Planted(episodes, tuple(thread for _, _, thread in told))


def _names(rng: Random) -> dict[str, str]:
    names = {slot: rng.choice(pool) for slot, pool in POOLS.items()}
    for slot, like in ALIASES.items():
        names[slot] = rng.choice([name for name in POOLS[like] if name != names[like]])
    return names


def _episode(id: str, time: float, line: str) -> EpisodicMemory:
    text, keywords = line.split(" | ")
    return EpisodicMemory(
        id=id,
        version=1,
        text=text,
        event_time=day(time),
        end_time=day(time) + timedelta(minutes=20),
        revised_at=day(time) + timedelta(minutes=20),
        recorded_at=day(time),
        keywords=tuple(keywords.split(", ")),
        session=f"session of {id}",
    )


@dataclass(frozen=True, slots=True)
class Figures:
    """``precision`` of links, ``recall`` of the pairs that could be linked, and the share of episodes with
    an older one of their thread that are linked to one: ``continued``."""

    precision: float
    recall: float
    continued: float


def measure(name: str, seeds: Iterable[int], encoder: TextEncoder | None = None) -> Figures:
    """Link planted users; by words alone without an encoder."""
    links = right = possible = continuing = continued = 0
    for seed in seeds:
        planted = plant(name, seed)
        related = planted.related()
        for episode, found in _linked(planted.episodes, encoder):
            hits = sum((episode.id, other.id) in related for other in found)
            older = sum(newer == episode.id for newer, _ in related)
            links, right = links + len(found), right + hits
            possible += min(older, MOST_LINKS)
            continuing, continued = continuing + (older > 0), continued + (hits > 0)
    return Figures(right / links, right / possible, continued / continuing)


def _linked(
    episodes: Sequence[EpisodicMemory], encoder: TextEncoder | None
) -> Iterator[tuple[EpisodicMemory, list[EpisodicMemory]]]:
    said = [mentions(episode) for episode in episodes]
    vectors = encoder.encode([episode.text for episode in episodes]) if encoder else None
    for number, episode in enumerate(episodes):
        cosines = [nan] * number if vectors is None else (vectors[:number] @ vectors[number]).tolist()
        found = relations(said[number], said[:number], cosines)
        yield episode, [episodes[each.position] for each in found]
