"""Words as a search index sees them, and BM25 over texts that only ever grow in number.

Words of spaced scripts are lower-cased, freed of accents and cut to their English Snowball stem; numbers
stay whole. Chinese, Japanese and Korean are written without spaces between words (or glue particles to
them), so each character and each pair of neighbours is a term: a query finds a word of any length
without a dictionary.
"""

import re
import threading
import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import snowballstemmer
from numpy.typing import NDArray

Scores = NDArray[np.float32]
Mask = NDArray[np.bool_]

# Han with its extensions, kana, Hangul. The prolonged sound mark of katakana counts as a letter.
CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f"
_PIECES = re.compile(
    rf"(?P<cjk>[{CJK}]+)|(?P<number>\d+(?:[.,]\d+)+)|(?P<word>(?:(?![{CJK}])[^\W_])+(?:'[a-z]+)?)"
)

# Words that carry the grammar of a sentence, not its matter. Without this list the rare "whose" of a
# small corpus outweighs the matter.
_ENGLISH_STOP_WORDS = """
a about am an and any are as at be been being but by can could did do does doing for from get got
had has have having he her hers him his how i if in into is it its just me might mine must my of on or
our ours shall she should so some such than that the their theirs them then there these they this those
to too us very was we were what when where which while who whom whose why will with would yes you your
yours aren't can't couldn't didn't doesn't don't hadn't hasn't haven't isn't shouldn't wasn't weren't
won't wouldn't i'd i'll i'm i've he's it's she's that's there's they're we're what's who's you're
you've
"""
ENGLISH_STOP_WORDS = frozenset(_ENGLISH_STOP_WORDS.split())
CHINESE_STOP_CHARACTERS = frozenset("的了是在我你他她它们这那和与就都也吗呢吧啊把被着过什么怎哪谁")

_stemmer = snowballstemmer.stemmer("english")
_stemmer_lock = threading.Lock()  # a stemmer keeps the word that it works on in itself


@lru_cache(maxsize=65_536)
def _stem(word: str) -> str:
    if not word.isascii():
        word = "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))
    with _stemmer_lock:
        return str(_stemmer.stemWord(word))


def _cjk_terms(run: str) -> Iterable[str]:
    yield from (character for character in run if character not in CHINESE_STOP_CHARACTERS)
    yield from (run[i : i + 2] for i in range(len(run) - 1))


def terms(text: str) -> list[str]:
    """Index terms of a text in order, repeated as often as they occur; stop words are left out."""
    found: list[str] = []
    text = unicodedata.normalize("NFKC", text).lower().replace("\u2019", "'")
    for piece in _PIECES.finditer(text):
        token = piece.group()
        if piece.lastgroup == "cjk":
            found.extend(_cjk_terms(token))
        elif piece.lastgroup == "number":
            found.append(token.replace(",", ""))
        elif token not in ENGLISH_STOP_WORDS:
            found.append(_stem(token))
    return found


class _Postings:
    """Where one term occurs: positions of texts, ascending, and how often in each.

    Readers take copies: an ``array`` that lends its memory out cannot grow.
    """

    __slots__ = ("counts", "positions")

    def __init__(self) -> None:
        self.positions = array("l")
        self.counts = array("f")

    def append(self, position: int, count: int) -> None:
        self.positions.append(position)
        self.counts.append(count)


class Bm25:
    """BM25 over texts that are appended one by one. Not safe for concurrent writes.

    ``k1`` and ``b`` are set for chat messages, which are short and seldom repeat a word: repetition soon
    counts no more, and length is held against a text only in part.
    """

    def __init__(self, k1: float = 0.9, b: float = 0.4) -> None:
        self._k1, self._b = k1, b
        self._postings: dict[str, _Postings] = {}
        self._lengths = array("f")

    def __len__(self) -> int:
        return len(self._lengths)

    def append(self, text_terms: Sequence[str]) -> None:
        """Index the next text."""
        position = len(self._lengths)
        for term, count in Counter(text_terms).items():
            self._postings.setdefault(term, _Postings()).append(position, count)
        self._lengths.append(len(text_terms))

    def scores(self, query: Mapping[str, float], known: Mask | None = None) -> Scores:
        """BM25 of every text as a share of the most that the query could give, in [0, 1].

        ``query`` weighs each term. ``known`` (len,) marks the texts that rarity and length are counted
        over, all by default: an as-of read must not learn from later texts which words are rare.
        """
        size = len(self)
        total = np.zeros(size, np.float32)
        if not size or not query:
            return total
        saturation = self._saturation(known)
        texts = size if known is None else int(np.count_nonzero(known))
        most = 0.0
        for term, weight in query.items():
            postings = self._postings.get(term)
            positions = np.array(postings.positions if postings else (), np.int64)
            holding = positions.size if known is None else int(np.count_nonzero(known[positions]))
            gain = weight * float(np.log1p((texts - holding + 0.5) / (holding + 0.5)))
            most += gain * (self._k1 + 1)
            if postings:
                counts = np.array(postings.counts, np.float32)
                total[positions] += gain * (self._k1 + 1) * counts / (counts + saturation[positions])
        return total / np.float32(most)

    def _saturation(self, known: Mask | None) -> Scores:
        lengths = np.array(self._lengths, np.float32)
        counted = lengths if known is None else lengths[known]
        mean = max(float(counted.mean()) if counted.size else 0.0, 1.0)
        return np.asarray(self._k1 * (1 - self._b + self._b * lengths / mean), dtype=np.float32)
