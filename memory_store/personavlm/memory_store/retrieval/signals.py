"""The signals of the ranking: each one small thing that tells a text that answers from one that does not.

A signal is measured for every text at once and gives no verdict of its own; ``ranking`` brings all of them
to one scale and adds them by the weights in ``weights.json``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from personavlm.memory_store.retrieval.cues import Cue
from personavlm.memory_store.retrieval.evidence import Evidence
from personavlm.memory_store.retrieval.lexical import Scores
from personavlm.memory_store.retrieval.names import Speaker

Group = Literal["lexical", "vectors", "tokens", "neighbours", "speaker", "time", "session", "form"]


@dataclass(frozen=True, slots=True)
class Signal:
    """One named measure.

    ``measure`` gives ``(n,)`` raw scores, NaN where a text cannot be judged, or None where the query or
    the kind of text gives it nothing to work on.
    """

    name: str
    group: Group
    measure: Callable[[Evidence], Scores | None]


# lexical


def bm25(evidence: Evidence) -> Scores | None:
    """BM25, as a share of the most that the query could give."""
    return evidence.word_gains.sum(axis=0) if len(evidence.word_gains) else None


def coverage(evidence: Evidence) -> Scores | None:
    """The share of the query's words in the text, rare ones counting more."""
    return evidence.coverage(evidence.word_counts)


# dense and tokens


def dense(evidence: Evidence) -> Scores | None:
    """Cosine of the sentence encoder's vectors, the participants' names not in the query."""
    return evidence.cosines


def sentence(evidence: Evidence) -> Scores | None:
    """Cosine with the text's nearest sentence."""
    return evidence.sentence


def tokens(evidence: Evidence) -> Scores | None:
    """How near the text comes to the query's tokens, each for itself, rare ones counting more."""
    return _weighed(evidence, evidence.nearest_tokens)


# neighbours


def window_bm25(evidence: Evidence) -> Scores | None:
    """BM25 whose words may stand in the texts around."""
    if not len(evidence.word_gains) or not _talks(evidence):
        return None
    return np.asarray(evidence.windowed(evidence.word_gains).sum(axis=0), np.float32)


def window_tokens(evidence: Evidence) -> Scores | None:
    """Tokens that may be met in the texts around."""
    return _weighed(evidence, evidence.windowed(evidence.nearest_tokens)) if _talks(evidence) else None


def answers_question(evidence: Evidence) -> Scores | None:
    """Whether the text before asks and this one does not."""
    if not _talks(evidence):
        return None
    asks = evidence.corpus.holds(Cue.QUESTION)
    return np.asarray(evidence.beside(asks.astype(np.float32), 1) * ~asks, np.float32)


def question(evidence: Evidence) -> Scores | None:
    """How near the question that this text answers comes to the query's tokens."""
    own, answers = tokens(evidence), answers_question(evidence)
    return None if own is None or answers is None else evidence.beside(own, 1) * answers


# speaker


def speaker(evidence: Evidence) -> Scores | None:
    """Whether the text is of the one whom the query asks about: 1, -1 for the other one's."""
    wanted = evidence.view.speaker
    if wanted == Speaker.NOBODY or not _talks(evidence):
        return None
    speakers = evidence.corpus.speakers.array
    return np.where(speakers == wanted, 1, np.where(speakers == Speaker.NOBODY, 0, -1)).astype(np.float32)


# time


def date(evidence: Evidence) -> Scores | None:
    """Whether the text is of a day that the query names, or of one near it."""
    if not evidence.view.days:
        return None
    first, last = evidence.corpus.days.array.T
    return _near_days(evidence, first, last)


def named_date(evidence: Evidence) -> Scores | None:
    """Whether the text speaks of a day that the query names: "yesterday", said on the day after."""
    if not evidence.view.days:
        return None
    position, first, last = evidence.corpus.named_days.array.T
    best = np.zeros(len(evidence.corpus), np.float32)
    np.maximum.at(best, position, _near_days(evidence, first, last))
    return best


def weekday(evidence: Evidence) -> Scores | None:
    """Whether the text is of a weekday that the query names."""
    if not evidence.view.weekdays:
        return None
    # 1970-01-01 was a Thursday, which is 3.
    return np.isin((evidence.corpus.days.array[:, 0] + 3) % 7, list(evidence.view.weekdays)).astype(
        np.float32
    )


# form


def asked_cue(cue: Cue) -> Callable[[Evidence], Scores | None]:
    """Whether the text holds the kind of thing that the query asks for."""

    def measure(evidence: Evidence) -> Scores | None:
        return evidence.corpus.holds(cue).astype(np.float32) if cue in evidence.view.asked_for else None

    return measure


def asks(evidence: Evidence) -> Scores | None:
    """Whether the text is itself a question."""
    return evidence.corpus.holds(Cue.QUESTION).astype(np.float32)


# session


def session_tokens(evidence: Evidence) -> Scores | None:
    """How near the text's session comes to the query's tokens."""
    return _weighed(evidence, evidence.of_session(evidence.nearest_tokens)) if _talks(evidence) else None


SIGNALS = (
    Signal("bm25", "lexical", bm25),
    Signal("coverage", "lexical", coverage),
    Signal("dense", "vectors", dense),
    Signal("sentence", "vectors", sentence),
    Signal("tokens", "tokens", tokens),
    Signal("window bm25", "neighbours", window_bm25),
    Signal("window tokens", "neighbours", window_tokens),
    Signal("question", "neighbours", question),
    Signal("speaker", "speaker", speaker),
    Signal("date", "time", date),
    Signal("named date", "time", named_date),
    Signal("weekday", "time", weekday),
    Signal("when", "form", asked_cue(Cue.TIME)),
    Signal("how many", "form", asked_cue(Cue.NUMBER)),
    Signal("who", "form", asked_cue(Cue.NAME)),
    Signal("asks", "form", asks),
    Signal("session tokens", "session", session_tokens),
)


def _talks(evidence: Evidence) -> bool:
    """Whether the texts are of a conversation."""
    return evidence.corpus.talks


def _weighed(evidence: Evidence, nearest: Scores) -> Scores | None:
    return np.asarray(evidence.token_weights @ nearest, np.float32) if len(nearest) else None


def _near_days(evidence: Evidence, first: Scores, last: Scores) -> Scores:
    """1 inside a span that the query names, less for each day beside it; long spans say less."""
    best = np.zeros(len(first), np.float32)
    for days in evidence.view.days:
        apart = np.maximum(np.maximum(days.first - last, first - days.last), 0)
        share = 1 / (1 + 0.15 * np.log2(days.last - days.first + 1))
        np.maximum(best, share / (1 + apart.astype(np.float32) ** 2), out=best)
    return best
