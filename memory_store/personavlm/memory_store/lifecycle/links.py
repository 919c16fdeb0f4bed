"""Which episodes belong to one thread: those that share names, keywords and rare words.

Nothing that somebody often speaks of is evidence: each shared term counts by how rare it is among the
user's own episodes. Logistic weights make of what is shared, and of how near the texts' vectors are, the
chance that two episodes belong together.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import exp, isnan, log

from personavlm.memory_store.records import EpisodicMemory
from personavlm.memory_store.retrieval.lexical import CJK, terms

MOST_LINKS = 3
"""From one episode to older ones: the strongest."""
THRESHOLD = 0.6
"""On planted matters that the weights were not fitted on: precision .91, recall .65, and .91 of the
episodes with an older one of their matter are linked to one."""
MOST_SHARED = 6
"""Terms that a link lists, the rarest first."""
EPISODES_ELSEWHERE = 10
"""As if so many more episodes spoke of other matters: in a short history nothing would be rare."""

# Weights of `features`, fitted by tests/benchmarks/fit_links.py on planted matters.
HALF_KEYWORDS, KEYWORDS, NAMES, COSINE = 3.8, 6.8, 7.8, 6.1
BIAS = -5.1
USUAL_COSINE = 0.2
"""Of two episodes by MiniLM: taken where a vector is missing."""

# Days and months are written like names, and do not say what an episode is about.
_CALENDAR = """
monday tuesday wednesday thursday friday saturday sunday january february march april may june july august
september october november december today tomorrow yesterday user assistant
"""
_CJK_PAIR = re.compile(rf"[{CJK}]{{2}}")
_NO_EVIDENCE = frozenset(term for word in _CALENDAR.split() for term in terms(word))

_PIECES = re.compile(
    rf"(?P<cjk>[{CJK}]+)|(?P<word>(?:(?![{CJK}])[^\W\d_])+)|(?P<stop>[.!?:;/\n\"\u201c\u2026]+)"
)


@dataclass(frozen=True, slots=True)
class Mentions:
    """What one episode speaks of. ``words`` gives each term as it was written first.

    ``capitals`` are terms written with a capital anywhere, ``names`` those within a sentence, where only
    names have one. ``keywords`` are terms of the keywords.
    """

    words: Mapping[str, str]
    capitals: frozenset[str]
    names: frozenset[str]
    keywords: frozenset[str]


def mentions(episode: EpisodicMemory) -> Mentions:
    """The terms of an episode's text and keywords. Of Chinese, Japanese, Korean: pairs of characters."""
    words: dict[str, str] = {}
    capitals: set[str] = set()
    names: set[str] = set()
    keywords: set[str] = set()
    for text, of_keyword in ((episode.text, False), *((each, True) for each in episode.keywords)):
        begins = True
        for piece in _PIECES.finditer(unicodedata.normalize("NFKC", text)):
            token = piece.group()
            if piece.lastgroup == "stop":
                begins = True
                continue
            found = _pairs(token) if piece.lastgroup == "cjk" else _term(token)
            for term in found:
                words.setdefault(term, term if piece.lastgroup == "cjk" else token)
            if of_keyword:
                keywords.update(found)
            if token[0].isupper():
                capitals.update(found)
                if not (begins or of_keyword):
                    names.update(found)
            begins = False
    return Mentions(words, frozenset(capitals), frozenset(names), frozenset(keywords))


@lru_cache(maxsize=65_536)
def _term(word: str) -> tuple[str, ...]:
    return tuple(term for term in terms(word) if len(term) > 1 and term not in _NO_EVIDENCE)


def _pairs(run: str) -> tuple[str, ...]:
    return tuple(run[i : i + 2] for i in range(len(run) - 1))


@dataclass(frozen=True, slots=True)
class Relation:
    """To the older episode at ``position``: what both speak of, and the chance that they belong together."""

    position: int
    shared: tuple[str, ...]
    score: float


def relations(new: Mentions, older: Sequence[Mentions], cosines: Sequence[float]) -> list[Relation]:
    """The older episodes of the same thread, strongest first, among equals the later in ``older``.

    ``cosines`` (n,) of the texts' vectors, NaN where there is none. Rarity is that among these episodes.
    """
    rarity = rarities(new, older)
    found = [
        Relation(position, _evidence(new, old, rarity), _score(features(new, old, rarity, cosine)))
        for position, (old, cosine) in enumerate(zip(older, cosines, strict=True))
    ]
    strong = [each for each in found if each.shared and each.score >= THRESHOLD]
    return sorted(strong, key=lambda each: (-each.score, -each.position))[:MOST_LINKS]


def rarities(new: Mentions, older: Sequence[Mentions]) -> dict[str, float]:
    """Of each term of the new episode, near 1 where no other speaks of it, near 0 where all do."""
    counts = Counter(term for each in (new, *older) for term in each.words)
    every = len(older) + 1 + EPISODES_ELSEWHERE
    return {term: log(every / counts[term]) / log(every) for term in new.words}


def features(
    new: Mentions, old: Mentions, rarity: Mapping[str, float], cosine: float
) -> tuple[float, float, float, float]:
    """The squared rarities of what both speak of, summed: terms among the keywords of one, those among the
    keywords of both, names; and the cosine."""
    sums = [0.0] * 4
    for term in new.words:
        if term in old.words:
            sums[_rank(term, new, old)] += rarity[term] ** 2
    return sums[1], sums[2], sums[3], USUAL_COSINE if isnan(cosine) else cosine


def _score(of: tuple[float, float, float, float]) -> float:
    weights = (HALF_KEYWORDS, KEYWORDS, NAMES, COSINE)
    strength = BIAS + sum(weight * value for weight, value in zip(weights, of, strict=True))
    return round(1 / (1 + exp(-strength)), 4)


def _rank(term: str, new: Mentions, old: Mentions) -> int:
    """3 for a name; else among how many of the two episodes' keywords the term is."""
    if term in new.capitals and term in old.capitals and (term in new.names or term in old.names):
        return 3
    return (term in new.keywords) + (term in old.keywords)


def _evidence(new: Mentions, old: Mentions, rarity: Mapping[str, float]) -> tuple[str, ...]:
    shared = (term for term in new.words if term in old.words and _rank(term, new, old))
    return _readable(shared, new.words, rarity)


def _readable(
    evidence: Iterable[str], words: Mapping[str, str], rarity: Mapping[str, float]
) -> tuple[str, ...]:
    """Shared terms as they were written, the rarest first; pairs that overlap become one word again."""
    found: list[tuple[str, float]] = []
    for term in evidence:
        word = words[term]
        if found and _is_pair(term) and _is_pair(found[-1][0][-2:]) and found[-1][0][-1] == term[0]:
            found[-1] = found[-1][0] + term[1], max(found[-1][1], rarity[term])
        else:
            found.append((word, rarity[term]))
    found.sort(key=lambda each: -each[1])
    return tuple(dict.fromkeys(word for word, _ in found))[:MOST_SHARED]


def _is_pair(term: str) -> bool:
    return len(term) == 2 and _CJK_PAIR.fullmatch(term) is not None
