"""Words, stems and sentences: what all rules share.

Languages written without spaces (Chinese, Japanese) and Korean become overlapping pairs of characters,
which match without a dictionary. Everything else is split at spaces and punctuation; stopwords and stems
are English, other languages pass through as they are.
"""

from __future__ import annotations

import re
import threading
from functools import lru_cache

from Stemmer import Stemmer

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_LETTERS = rf"(?:(?![{_CJK}])[^\W_])+"
_TOKEN = re.compile(rf"[{_CJK}]+|{_LETTERS}(?:'{_LETTERS})*")
_IS_CJK = re.compile(rf"[{_CJK}]")
_ABBREVIATION = re.compile(r"\b(?:mr|mrs|ms|dr|prof|st|vs|etc|e\.g|i\.e|a\.m|p\.m|approx)\.$", re.IGNORECASE)
_BREAK = re.compile(
    r"(?<=[.!?\u2026])\s+|(?<=[.!?\u2026][\"'\u2019\u201d)\]])\s+|(?<=[\u3002\uff01\uff1f])|\s*\n\s*"
)
_DATE_IN_BRACKETS = re.compile(r" \((?P<date>[^()]*\b(?:19|20)\d{2})\)")

STOPWORDS = frozenset(
    """
    a about above actually after again all also always am an and any anyone anything are aren't as at be
    because been before being below between both but by can can't cannot could couldn't did didn't do does
    doesn't doing don't done down during each either else ever every few for from further get gets getting
    go goes going gone gonna got gotta had hadn't has hasn't have haven't having he he'd he'll he's her here
    hers herself hey hi hello him himself his how however i i'd i'll i'm i've if in into is isn't it it'd
    it'll it's its itself just kind know let let's like lot lots made make makes many maybe me mean might
    mine more most much must my myself need no nope nor not nothing now of off oh ok okay on once one only
    onto or other our ours ourselves out over own please pretty quite rather really right same say says
    see shall she she'd she'll she's should shouldn't since so some someone something sort still such sure
    tell than thank thanks that that's the their theirs them themselves then there there's these they
    they'd they'll they're they've thing things think this those though through to too try trying under
    until up upon us very wanna want wants was wasn't way we we'd we'll we're we've well were weren't what
    what's whatever when where where's which while who who's whom whose why will with won't would wouldn't
    yeah yep yes yet you you'd you'll you're you've your yours yourself
    """.split()  # noqa: SIM905 (a list of 300 quoted words is no easier to read)
)

# What no stemmer can know: a word, then its other forms.
_IRREGULAR_FORMS = """
    begin began begun, break broke broken, bring brought, build built, buy bought, catch caught, child
    children, choose chose chosen, come came, draw drew drawn, drink drank drunk, drive drove driven, eat
    ate eaten, fall fell fallen, feel felt, find found, fly flew flown, foot feet, forget forgot
    forgotten, give gave given, grow grew grown, hear heard, hold held, keep kept, knit knitted, leave
    left, lend lent, lose lost, meet met, mouse mice, pay paid, ride rode ridden, run ran, see saw seen,
    sell sold, send sent, sing sang sung, sleep slept, speak spoke spoken, spend spent, steal stole
    stolen, swim swam swum, take took taken, teach taught, throw threw thrown, tooth teeth, wake woke
    woken, wear wore worn, win won, woman women, man men, write wrote written
"""
_IRREGULAR = {form: entry.split()[0] for entry in _IRREGULAR_FORMS.split(",") for form in entry.split()[1:]}


def words(text: str) -> tuple[str, ...]:
    """All words in order, lower case, apostrophes straight, a possessive ``'s`` dropped."""
    found: list[str] = []
    for token in _TOKEN.findall(text.lower().replace("\u2019", "'")):
        found.extend(_pairs(token) if is_cjk(token) else (token,))
    return tuple(found)


def content_words(text: str) -> tuple[str, ...]:
    """The words that carry meaning, each once, in order: no stopwords, no single letters."""
    kept = (_without_possessive(word) for word in words(text) if word not in STOPWORDS)
    return tuple(dict.fromkeys(word for word in kept if _carries_meaning(word)))


@lru_cache(maxsize=4096)
def stems(text: str) -> frozenset[str]:
    """Snowball stems of the content words: what two texts about the same thing share."""
    return frozenset(stem(word) for word in content_words(text))


@lru_cache(maxsize=16384)
def stem(word: str) -> str:
    """The Snowball stem of one lower-case English word; other words come back as they are."""
    return str(_stemmer().stemWord(_IRREGULAR.get(word, word))) if word.isascii() else word


def is_cjk(word: str) -> bool:
    """Whether a word is of a script that is written without spaces, or Korean."""
    return bool(_IS_CJK.match(word))


def without_dates(text: str, date: str = "") -> str:
    """The text without the calendar dates that memories put behind relative ones, in brackets.

    With ``date`` ("3 May 2026") only those of that day go.
    """
    return _DATE_IN_BRACKETS.sub(lambda found: "" if found["date"].endswith(date) else found[0], text)


def sentences(text: str) -> tuple[str, ...]:
    """The sentences of a text with their punctuation, without surrounding space."""
    found: list[str] = []
    for piece in _BREAK.split(text):
        if not piece or not piece.strip():
            continue
        if found and _ABBREVIATION.search(found[-1]):
            found[-1] = f"{found[-1]} {piece.strip()}"
        else:
            found.append(piece.strip())
    return tuple(found)


_local = threading.local()


def _stemmer() -> Stemmer:
    # A stemmer keeps the word that it works on in itself, so each thread has its own.
    if not hasattr(_local, "stemmer"):
        _local.stemmer = Stemmer("english")
    return _local.stemmer


def _pairs(run: str) -> tuple[str, ...]:
    return tuple(run[i : i + 2] for i in range(len(run) - 1)) or (run,)


def _without_possessive(word: str) -> str:
    return word[:-2] if word.endswith("'s") and len(word) > 2 else word


def _carries_meaning(word: str) -> bool:
    return word not in STOPWORDS and (len(word) > 1 or word.isdigit() or is_cjk(word))
