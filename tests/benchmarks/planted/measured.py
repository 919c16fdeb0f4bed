"""A conversation's questions as the shipped ranking sees them: the signals of every message."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from personavlm.memory_store.encoder import TextEncoder, encode_texts
from personavlm.memory_store.retrieval.corpus import Corpus, Passage
from personavlm.memory_store.retrieval.dates import Days, day_number
from personavlm.memory_store.retrieval.evidence import Evidence
from personavlm.memory_store.retrieval.names import Participants, Speaker
from personavlm.memory_store.retrieval.query import query_views
from personavlm.memory_store.retrieval.ranking import signal_matrix
from personavlm.memory_store.retrieval.signals import SIGNALS
from personavlm.memory_store.retrieval.tokens import packed_tokens
from tests.benchmarks.planted.listwise import Query, Weights
from tests.benchmarks.planted.records import ASSISTANT, USER, Conversation, Question

K = 10


@dataclass(frozen=True, slots=True)
class Measured:
    """One question: ``signals`` ``(n, k)``, the unit (message or turn) of each of the n texts ``(n,)``,
    and the units of its evidence."""

    question: Question
    signals: NDArray[np.float32]
    units: NDArray[np.int64]
    evidence: NDArray[np.int64]

    def ranks(self, weights: Weights) -> NDArray[np.int64]:
        """Places of the evidence among all units, 0 the best. A unit is as good as its best text."""
        scores = self.signals @ weights.astype(np.float32)
        best = np.full(self.units.max() + 1, -np.inf, np.float32)
        np.maximum.at(best, self.units, scores)
        order = np.argsort(-best, kind="stable")
        places = np.empty(len(order), np.int64)
        places[order] = np.arange(len(order))
        return places[self.evidence]

    def query(self, off: Sequence[int], most: int, weight: float) -> Query:
        """The evidence among ``most`` texts drawn at random: what a fit learns from.

        Signals at the positions ``off`` say nothing. Texts that some weights put first would teach only
        to mend those weights.
        """
        rng = np.random.default_rng(len(self.units))
        drawn = rng.choice(len(self.units), min(most, len(self.units)), replace=False)
        chosen = np.union1d(drawn, np.flatnonzero(np.isin(self.units, self.evidence)))
        signals = self.signals[chosen]
        signals[:, list(off)] = 0
        return Query(signals, np.isin(self.units[chosen], self.evidence), weight)


def measure(conversation: Conversation, encoder: TextEncoder) -> list[Measured]:
    """Every question of a conversation."""
    corpus = corpus_of(conversation, encoder)
    places: dict[str, int] = {}
    units = np.array([places.setdefault(unit(m.id), len(places)) for m in conversation.messages], np.int64)
    named = conversation.speakers != (USER, ASSISTANT)
    participants = Participants(*conversation.speakers) if named else Participants()
    today = day_number(conversation.messages[-1].time.date())
    texts = [question.text for question in conversation.questions]
    views = {view.text: view for view in query_views(texts, encoder, participants, today)}
    return [
        Measured(
            question,
            np.ascontiguousarray(signal_matrix(Evidence(corpus, views[question.text]))[1].T),
            units,
            np.array([places[unit(id)] for id in question.evidence], np.int64),
        )
        for question in conversation.questions
    ]


def unit(id: str) -> str:
    """What is found as one: a message, or the turn whose texts are ``turn/user`` and ``turn/assistant``."""
    return id.partition("/")[0]


def corpus_of(conversation: Conversation, encoder: TextEncoder) -> Corpus:
    """The messages as the store indexes them."""
    corpus = Corpus(encoder.dim, talks=True)
    texts: list[str] = []
    for message in conversation.messages:
        day = day_number(message.time.date())
        speaker = Speaker.USER if message.speaker == conversation.speakers[0] else Speaker.ASSISTANT
        texts.append("\n".join(filter(None, (message.text, message.caption))))
        corpus.add(Passage(texts[-1], "", speaker, str(message.session), Days(day, day)))
    for position, encoded in enumerate(encode_texts(encoder, texts)):
        corpus.set_vector(position, encoded.vector, packed_tokens(encoded))
    return corpus


def recall(measured: Sequence[Measured], weights: Weights, k: int = K) -> float:
    """The share of a question's evidence among the k best, averaged over questions."""
    return float(np.mean([(one.ranks(weights) < k).mean() for one in measured])) if measured else np.nan


def reciprocal_rank(measured: Sequence[Measured], weights: Weights) -> float:
    """Mean of 1 over the place of the best evidence."""
    return float(np.mean([1 / (1 + one.ranks(weights).min()) for one in measured])) if measured else np.nan


def single_signals() -> Iterator[tuple[str, Weights]]:
    """Weights of each signal alone, by its name."""
    for position, signal in enumerate(SIGNALS):
        alone = np.zeros(len(SIGNALS))
        alone[position] = 1
        yield signal.name, alone
