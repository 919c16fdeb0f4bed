"""Which remembered sentence answers a question: shared words, rarer ones counting more, then time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import log

from personavlm.platform.engines.rules.question import Question, generic_stems, kin, names_in
from personavlm.platform.engines.rules.situation import Evidence
from personavlm.platform.engines.rules.words import sentences, stems

ENOUGH = 0.3  # score from which a sentence is taken to answer
_IN_WINDOW = 0.12  # what a match gains by lying in the time asked for
_NEAR_BEST = 0.8  # share of the best score within which time decides
_KIN, _GENERIC = 0.6, 0.25  # what a related word and a word that says little count, beside 1
_NAME = 0.5  # a name may only be spoken to
_OVER = 0.6  # share of its score that something keeps once it is over
_ABOUT_THE_PAST = frozenset(("past", "first", "change"))
_IN_SENTENCE = 0.65  # the rest is for the words around the sentence
_SOURCES = {"semantic": 1.05, "visual": 1.05, "procedural": 1.0, "turn": 1.0, "core": 1.0,
            "episode": 0.8, "assistant": 0.7}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Match:
    """A sentence of a piece of evidence, and how well it answers (about 0 to 1.2)."""

    evidence: Evidence
    sentence: str
    score: float


def matches(question: Question, evidence: Iterable[Evidence]) -> tuple[Match, ...]:
    """Every sentence that can be quoted, best first."""
    pieces = tuple(_with_ends(tuple(evidence)))
    weights = _weights(question, pieces)
    found = [
        Match(piece, sentence, _score(question, piece, sentence, weights))
        for piece in pieces
        for sentence in _quotable(piece)
    ]
    if not question.cues & _ABOUT_THE_PAST:
        found = _with_successors(question, found)
    return tuple(sorted(_distinct(found), key=lambda match: -match.score))


def best(question: Question, ranked: Sequence[Match]) -> Match | None:
    """The sentence to quote. Among near equals the newest, or the oldest where the beginning is asked for."""
    # In other languages the words that say little are not known, and weigh as much as the others.
    threshold = ENOUGH if question.english else ENOUGH / 3
    enough = [match for match in ranked if match.score >= threshold]
    if not enough:
        return None
    near = [match for match in enough if match.score >= enough[0].score * _NEAR_BEST]
    if "first" in question.cues:
        return min(near, key=lambda match: match.evidence.time or datetime.max)
    if question.window.start or question.window.end or "past" in question.cues:
        return near[0]
    return max(near, key=lambda match: match.evidence.time or datetime.max)


def coverage(wanted: dict[str, float], text: str) -> float:
    """How much of the weight of the wanted stems ``text`` holds, 0 to 1."""
    held = stems(text)
    total = sum(wanted.values())
    if not total:
        return 0.0
    return sum(weight * _held(word, held) for word, weight in wanted.items()) / total


def _held(word: str, held: frozenset[str]) -> float:
    if word in held:
        return 1.0
    return _KIN if kin().get(word, frozenset()) & held else 0.0


def _weights(question: Question, pieces: Sequence[Evidence]) -> dict[str, float]:
    """What each stem of the question counts: little if it is generic, a name, or in every piece."""
    focus = question.focus
    names = stems(" ".join(names_in(question.text))) if question.english else frozenset()
    known = Counter(word for piece in pieces for word in stems(f"{piece.text} {piece.context}") & focus)
    says = {word: _GENERIC if word in generic_stems() else _NAME if word in names else 1.0 for word in focus}
    return {word: says[word] * log(2 + len(pieces) / (1 + known[word])) for word in focus}


def _score(question: Question, piece: Evidence, sentence: str, weights: dict[str, float]) -> float:
    around = f"{piece.text} {piece.context}"
    said = around if piece.source == "core" else sentence
    covered = _IN_SENTENCE * coverage(weights, said) + (1 - _IN_SENTENCE) * coverage(weights, around)
    score = covered * _SOURCES[piece.source]
    if _is_over(question, piece):
        score *= _OVER
    if piece.outside:
        return score * 0.75
    timed = piece.time is not None and (question.window.start or question.window.end)
    return score + _IN_WINDOW if timed and score else score


def _is_over(question: Question, piece: Evidence) -> bool:
    """Whether the evidence no longer held at the time that the question is about."""
    if piece.until is None or question.cues & _ABOUT_THE_PAST:
        return False
    return question.window.end is None or question.window.end > piece.until


def _with_successors(question: Question, found: list[Match]) -> list[Match]:
    """What took the place of something answers in its place, even where it shares fewer words."""
    inherited = {
        match.evidence.until: match.score / _OVER for match in found if _is_over(question, match.evidence)
    }
    return [
        replace(match, score=max(match.score, inherited.get(match.evidence.time, 0.0)))
        if match.score and match.evidence.source in ("semantic", "turn")
        else match
        for match in found
    ]


def _with_ends(pieces: tuple[Evidence, ...]) -> Iterable[Evidence]:
    """A turn that said what a memory holds has ended with that memory."""
    ended = [(stems(piece.text), piece.until) for piece in pieces if piece.until]
    for piece in pieces:
        said = stems(piece.text)
        until = next((until for held, until in ended if len(said & held) > 1 and held <= said), None)
        yield replace(piece, until=until) if piece.source == "turn" and until else piece


def _quotable(piece: Evidence) -> tuple[str, ...]:
    """Sentences that state something; what the user asked is no answer."""
    if piece.source not in ("turn", "assistant"):
        return (piece.text,)
    return tuple(sentence for sentence in sentences(piece.text) if not sentence.endswith(("?", "\uff1f")))


def _distinct(found: Iterable[Match]) -> Iterable[Match]:
    """Each sentence once, from its best source."""
    kept: dict[str, Match] = {}
    for match in found:
        key = match.sentence.casefold().strip(" .!")
        if key not in kept or kept[key].score < match.score:
            kept[key] = match
    return kept.values()
