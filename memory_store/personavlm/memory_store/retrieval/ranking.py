"""Ranking of one user's texts of one kind: many small signals, brought to one scale, then added.

For every view of the query each signal in ``signals.SIGNALS`` scores every text. Signals live on different
scales, so each is turned into a z-score: mean and deviation come from the user's own texts, shrunk towards
fixed priors, since five texts tell little of either. Then they are added by fixed weights.

Interface for fitting and for ablations:

* ``signal_matrix(Evidence(corpus, view)) -> (names, matrix)``: ``matrix`` is ``(len(SIGNALS), n)``
  float32 z-scores; a signal that has nothing to go by for this query is a row of zeros.
* ``Weights``: ``weights.json`` as an object. ``Weights.load()``; ``weights.vector(kind)`` in the order of
  ``SIGNALS``, ``kind`` being "turns" or "memories"; ``weights.without(*names_or_groups)``.
* ``apply_weights(matrix, vector) -> (n,)`` scores.
* ``Retriever.turn_signals(user, request)`` gives the matrix of a user's real turns.

``weights.json`` holds for each signal ``mean`` and ``deviation`` of its raw scores (the priors) and its
weight for turns and for memories. A script that fits rewrites it through ``Weights.save``.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Self

import numpy as np

from personavlm.memory_store.retrieval.corpus import Corpus
from personavlm.memory_store.retrieval.evidence import Evidence
from personavlm.memory_store.retrieval.lexical import Mask, Scores
from personavlm.memory_store.retrieval.query import QueryView
from personavlm.memory_store.retrieval.signals import SIGNALS

Kind = Literal["turns", "memories"]
KINDS: tuple[Kind, ...] = ("turns", "memories")

COVERAGE = [signal.name for signal in SIGNALS].index("coverage")

PRIOR_STRENGTH = 20.0
"""How many texts of the user's own weigh as much as the prior."""

WEIGHTS_FILE = Path(__file__).with_name("weights.json")


@dataclass(frozen=True, slots=True)
class Prior:
    """Mean and deviation of a signal's raw scores, as they commonly are."""

    mean: float
    deviation: float


@dataclass(frozen=True, slots=True)
class Weights:
    """The weight of each signal by kind of text, and the priors, by name of the signal."""

    weights: Mapping[Kind, Mapping[str, float]]
    priors: Mapping[str, Prior]
    off: frozenset[str] = field(default=frozenset())

    @classmethod
    def load(cls, path: Path = WEIGHTS_FILE) -> Self:
        """Read the file. KeyError for a signal that it lacks."""
        document = json.loads(path.read_text(encoding="utf-8"))
        names = [signal.name for signal in SIGNALS]
        weights = {kind: {name: float(document[name][kind]) for name in names} for kind in KINDS}
        priors = {name: Prior(document[name]["mean"], document[name]["deviation"]) for name in names}
        return cls(weights, priors)

    def save(self, path: Path = WEIGHTS_FILE) -> None:
        """Write the file, a line for each signal."""
        lines = []
        for signal in SIGNALS:
            prior = self.priors[signal.name]
            numbers: dict[str, float] = {kind: self.weights[kind][signal.name] for kind in KINDS}
            numbers |= {"mean": prior.mean, "deviation": prior.deviation}
            entry = {name: round(number, 4) for name, number in numbers.items()}
            lines.append(f"  {json.dumps(signal.name)}: {json.dumps(entry)}")
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")

    def without(self, *off: str) -> Self:
        """The same with some signals, or groups of signals, switched off."""
        return replace(self, off=self.off | frozenset(off))

    def vector(self, kind: Kind) -> Scores:
        """``(len(SIGNALS),)`` weights, 0 for what is switched off."""
        return np.array(
            [
                0 if {signal.name, signal.group} & self.off else self.weights[kind][signal.name]
                for signal in SIGNALS
            ],
            np.float32,
        )


WEIGHTS = Weights.load()


def signal_matrix(
    evidence: Evidence, priors: Mapping[str, Prior] = WEIGHTS.priors
) -> tuple[tuple[str, ...], Scores]:
    """Names of the signals, and ``(len(names), n)`` z-scores of every text for one view of the query.

    Statistics are taken over the texts that the evidence knows of: an as-of read gets that day's scores.
    """
    matrix = np.zeros((len(SIGNALS), len(evidence.corpus)), np.float32)
    for row, signal in zip(matrix, SIGNALS, strict=True):
        raw = signal.measure(evidence)
        if raw is not None:
            # What has no vector yet is judged by its words, or any text that has one would go before it.
            row[:] = np.where(
                np.isnan(raw), matrix[COVERAGE], calibrated(raw, priors[signal.name], evidence.known)
            )
    return tuple(signal.name for signal in SIGNALS), matrix


def apply_weights(matrix: Scores, weights: Scores) -> Scores:
    """``(n,)``: the weighed mean of those signals that have something to go by for this query."""
    total = np.abs(weights[matrix.any(axis=1)]).sum()
    return np.asarray(weights @ matrix / (total or 1), np.float32)


@dataclass(frozen=True, slots=True)
class Ranked:
    """``(n,)`` fused scores and ``(m, n)`` facets: how near each text comes to each of the query's tokens,
    by the token's share of the query."""

    scores: Scores
    facets: Scores


def ranked(
    corpus: Corpus,
    views: Sequence[QueryView],
    mask: Mask,
    known: Mask | None = None,
    *,
    kind: Kind = "turns",
    weights: Weights = WEIGHTS,
) -> Ranked:
    """Scores, about 0 for a text that has no more to do with the query than most; ``-inf`` where ``mask`` is
    False.

    A mask (window, seen ids) hides texts but leaves the scores of the others as they are, so scores of a
    narrow and a widened search compare. The views count alike. Where all is hidden nothing is measured.
    """
    fused = np.zeros(len(corpus), np.float32)
    facets = [np.zeros((0, len(corpus)), np.float32)]
    vector = weights.vector(kind)
    for view in views if mask.any() else ():
        evidence = Evidence(corpus, view, known)
        fused += apply_weights(signal_matrix(evidence, weights.priors)[1], vector)
        facets.append(evidence.facets / np.float32(len(views)))
    fused /= np.float32(max(len(views), 1))
    fused[~mask] = -np.inf
    return Ranked(fused, np.concatenate(facets))


def calibrated(raw: Scores, prior: Prior, known: Mask | None = None) -> Scores:
    """z-scores against the known texts' own mean and deviation, both shrunk towards the prior.

    A text that cannot be judged gets 0: neither for nor against it.
    """
    judged = ~np.isnan(raw)
    sample = raw[judged if known is None else judged & known]
    total = sample.size + PRIOR_STRENGTH
    mean = (float(sample.sum()) + PRIOR_STRENGTH * prior.mean) / total
    squares = float(np.square(sample - mean).sum())
    spread = PRIOR_STRENGTH * (prior.deviation**2 + (prior.mean - mean) ** 2)
    deviation = float(np.sqrt((squares + spread) / total))
    return np.where(judged, (raw - np.float32(mean)) / np.float32(deviation), np.float32(0))
