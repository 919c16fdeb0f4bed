"""Words as a search index sees them, and which texts hold them.

Words of spaced scripts are lower-cased, freed of accents and cut to their English Snowball stem; numbers
stay whole. Chinese, Japanese and Korean are written without spaces between words (or glue particles to
them), so each character and each pair of neighbours is a term: a query finds a word of any length
without a dictionary.
"""

import re
import threading
import unicodedata
import zlib
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from Stemmer import Stemmer

from personavlm.memory_store.retrieval.arrays import Rows

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

K1, B = 0.9, 0.4
"""BM25 for chat messages, which are short and seldom repeat a word: repetition soon counts no more, and
length is held against a text only in part."""

BUCKETS = 1 << 16

_stemmer = Stemmer("english")
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


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower().replace("\u2019", "'")


def terms(text: str) -> list[str]:
    """Index terms of a text in order, repeated as often as they occur; stop words are left out."""
    found: list[str] = []
    for piece in _PIECES.finditer(_normal(text)):
        token = piece.group()
        if piece.lastgroup == "cjk":
            found.extend(_cjk_terms(token))
        elif piece.lastgroup == "number":
            found.append(token.replace(",", ""))
        elif token not in ENGLISH_STOP_WORDS:
            found.append(_stem(token))
    return found


def term_keys(terms: Iterable[str]) -> NDArray[np.uint32]:
    """A number for each term. Two of a user's words share one about once in a million."""
    return np.array([zlib.crc32(term.encode()) for term in terms], np.uint32)


class TermTable:
    """Which terms each text holds. Texts are appended one by one; a term is known by its key."""

    def __init__(self) -> None:
        self._keys: Rows[np.uint32] = Rows(np.uint32)
        self._text_of: Rows[np.int32] = Rows(np.int32)
        self._lengths: Rows[np.float32] = Rows(np.float32)

    def __len__(self) -> int:
        return len(self._lengths)

    @property
    def lengths(self) -> Scores:
        """``(len,)``: how many terms each text has."""
        return self._lengths.array

    @property
    def nbytes(self) -> int:
        """Memory taken."""
        return self._keys.nbytes + self._text_of.nbytes + self._lengths.nbytes

    def append(self, keys: NDArray[np.uint32]) -> None:
        """The next text's terms, repeated as often as they occur."""
        self._text_of.extend(np.full(len(keys), len(self), np.int32))
        self._keys.extend(keys)
        self._lengths.append(len(keys))

    def counts(self, keys: NDArray[np.uint32], known: Mask | None = None) -> Scores:
        """``(len(keys), len)``: how often each text holds each of these terms, which must be distinct.

        Texts outside ``known`` (len,) are taken to hold nothing, so that nothing counted from this can
        tell of them.
        """
        table, size = self._keys.array, len(self)
        wanted = np.zeros(BUCKETS, np.bool_)
        wanted[keys % BUCKETS] = True
        places = np.flatnonzero(wanted[table % BUCKETS])
        order = np.argsort(keys)
        rank = np.searchsorted(keys[order], table[places])
        same = keys[order][np.minimum(rank, len(keys) - 1)] == table[places] if len(keys) else rank < 0
        cells = order[rank[same]] * size + self._text_of.array[places[same]]
        counts = np.bincount(cells, minlength=len(keys) * size).astype(np.float32)
        counts = counts.reshape(len(keys), size)
        if known is not None:
            counts[:, ~known] = 0
        return counts


def rarity(counts: Scores, known: Mask | None = None) -> Scores:
    """``(t,)``: the weight of each term by how few of the known texts hold it (the IDF of BM25)."""
    texts = counts.shape[1] if known is None else int(np.count_nonzero(known))
    holding = np.count_nonzero(counts, axis=1)
    return np.asarray(np.log1p((texts - holding + 0.5) / (holding + 0.5)), np.float32)


def saturated(counts: Scores, lengths: Scores, known: Mask | None = None) -> Scores:
    """``(t, n)``: what BM25 makes of counts, a term's rarity left out, in [0, k1 + 1).

    Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond (2009).
    """
    counted = lengths if known is None else lengths[known]
    mean = max(float(counted.mean()) if counted.size else 0.0, 1.0)
    saturation = K1 * (1 - B + B * lengths / mean)
    return np.asarray((K1 + 1) * counts / (counts + saturation), np.float32)
