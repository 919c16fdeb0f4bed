"""Which remembered sentence answers a question: shared words, rarer ones counting more, then time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import log

from personavlm.platform.engines.rules.answers import is_plan, only_loose, tells
from personavlm.platform.engines.rules.question import Question, generic_stems, kin, names_in
from personavlm.platform.engines.rules.situation import Evidence
from personavlm.platform.engines.rules.words import sentences, stems, without_dates

ENOUGH = 0.3  # score from which a sentence is taken to answer
_ENOUGH_FOR_WISH = 0.5  # share of it for a like or dislike where advice is asked for
_IN_WINDOW = 0.12  # what a match gains by lying in the time asked for
_NEAR_BEST = 0.8  # share of the best score within which time decides
_KIN, _GENERIC = 0.6, 0.25  # what a related word and a word that says little count, beside 1
_NAME = 0.5  # a name may only be spoken to
_BACKGROUND = 0.4  # a word said before the question, to explain a wish
_OVER = 0.6  # share of its score that something keeps once it is over
_FITS = 1.35  # what a sentence gains that looks like the kind of answer asked for
_FITS_LOOSELY = 1.15  # the same where many sentences look like it
_TURN_SHARE = 0.8  # what such a sentence takes from the words of its turn
_BESIDE = 0.7  # and from what was said a few minutes before or after, where reasons are told
_FEW_MINUTES = timedelta(minutes=15)
_STILL_TO_COME = 0.6  # share that a plan keeps where the question is about what happened
_FEWEST_WORDS, _SAYS_NOTHING = 2, 0.6  # "Thanks, Bo!" has one telling word, and keeps this share
_REPLACEMENT = 0.5  # share that what came after keeps where the question is about what came before
_ABOUT_THE_PAST = frozenset(("past", "first", "change", "course"))
_OUTSIDE = 0.75  # share that something keeps from outside the time asked for
_IN_SENTENCE = 0.65  # the rest is for the words around the sentence
_SOURCES = {"semantic": 1.05, "visual": 1.05, "procedural": 1.0, "turn": 1.0, "core": 1.0,
            "episode": 0.8, "assistant": 0.7}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Match:
    """A sentence of a piece of evidence, and how well it answers (about 0 to 1.2)."""

    evidence: Evidence
    sentence: str
    score: float
    fits: bool = False  # it looks like the kind of answer asked for


def matches(question: Question, evidence: Iterable[Evidence]) -> tuple[Match, ...]:
    """Every sentence that can be quoted, best first."""
    pieces = tuple(_with_ends(tuple(evidence)))
    weights = _weights(question, pieces)
    found = [
        _match(question, piece, sentence, weights)
        for piece in pieces
        for sentence in _quotable(piece, question)
    ]
    if "reason" in question.kinds:
        found = _with_neighbours(found, weights)
    if not question.cues & _ABOUT_THE_PAST:
        found = _with_successors(question, found)
    return tuple(sorted(_distinct(found), key=lambda match: -match.score))


def best(question: Question, ranked: Sequence[Match]) -> Match | None:
    """The sentence to quote. Among near equals the newest, or the oldest where the beginning is asked for."""
    # In other languages the words that say little are not known, and weigh as much as the others.
    threshold = ENOUGH if question.english else ENOUGH / 3
    enough = [match for match in ranked if match.score >= threshold * _threshold_share(question, match)]
    if not enough:
        return None
    near = [match for match in enough if match.score >= enough[0].score * _NEAR_BEST]
    if "first" in question.cues:
        return min(near, key=lambda match: match.evidence.time or datetime.max)
    if question.window.start or question.window.end or question.cues & {"past", "before"}:
        return near[0]
    return _newest(near, untimed_first="habit" in question.kinds)


def _newest(near: Sequence[Match], *, untimed_first: bool) -> Match:
    """The newest; what has no date (core memory, habits) where nothing newer says the same, or first."""
    timed = [match for match in near if match.evidence.time]
    untimed = next((match for match in near if not match.evidence.time), None)
    newest = max(timed, key=lambda match: match.evidence.time or datetime.min, default=None)
    if newest is None or untimed is None:
        return newest or near[0]
    same = stems(untimed.sentence) <= stems(newest.evidence.text) | generic_stems()
    return newest if same and not untimed_first else untimed


def _threshold_share(question: Question, match: Match) -> float:
    """A taste speaks for or against what is wished, even where it shares only one word with it."""
    return _ENOUGH_FOR_WISH if "wish" in question.cues and match.fits else 1.0


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
    wanted = question.focus | question.background
    names = stems(" ".join(names_in(question.text))) if question.english else frozenset()
    known = Counter(word for piece in pieces for word in stems(f"{piece.text} {piece.context}") & wanted)

    def says(word: str) -> float:
        if word not in question.focus:
            return _BACKGROUND
        return _GENERIC if word in generic_stems() else _NAME if word in names else 1.0

    return {word: says(word) * log(2 + len(pieces) / (1 + known[word])) for word in wanted}


def _match(question: Question, piece: Evidence, sentence: str, weights: dict[str, float]) -> Match:
    # An episode is several sentences, one of which would nearly always look like an answer.
    fits = piece.source not in ("assistant", "episode") and tells(question.kinds, sentence, question.subject)
    around = f"{piece.text} {piece.context}"
    near = coverage(weights, around if piece.source == "core" else sentence)
    far = coverage(weights, around)
    covered = _IN_SENTENCE * near + (1 - _IN_SENTENCE) * far
    if fits and not only_loose(question.kinds):
        # The answer need not repeat the words of the question where they stand beside it.
        covered = _FITS * max(covered, _TURN_SHARE * far)
    elif fits:
        covered *= _FITS_LOOSELY
    score = covered * _SOURCES[piece.source] * _share(question, piece, sentence)
    timed = piece.time is not None and (question.window.start or question.window.end)
    if timed and score and not piece.outside:
        score += _IN_WINDOW
    return Match(piece, sentence, score, fits)


def _share(question: Question, piece: Evidence, sentence: str) -> float:
    """What is left of a score for what is over, from another time, or still to come."""
    share = _OVER if _is_over(question, piece) else 1.0
    if piece.source == "core" and question.about_the_past:
        share *= _OVER  # core memory is how things are now
    if piece.outside:
        share *= _OUTSIDE
    if question.about_what_happened and is_plan(sentence):
        share *= _STILL_TO_COME
    if len(stems(sentence)) < _FEWEST_WORDS and piece.source in ("turn", "assistant"):
        share *= _SAYS_NOTHING
    if question.replaced_by & stems(piece.text) and not piece.until:
        share *= _REPLACEMENT
    return share


def _with_neighbours(found: list[Match], weights: dict[str, float]) -> list[Match]:
    """A reason may stand in what was said right before or after, and share no word with the question."""
    turns = {match.evidence for match in found if match.evidence.source == "turn"}

    def beside(match: Match) -> float:
        near = (turn.text for turn in turns if _apart(match.evidence, turn) <= _FEW_MINUTES)
        return _BESIDE * _FITS * coverage(weights, " ".join(near))

    return [
        replace(match, score=max(match.score, beside(match)))
        if match.fits and match.evidence.source == "turn"
        else match
        for match in found
    ]


def _apart(one: Evidence, other: Evidence) -> timedelta:
    return abs(one.time - other.time) if one.time and other.time else timedelta.max


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


def _quotable(piece: Evidence, question: Question) -> tuple[str, ...]:
    """Sentences that state something; what the user asked is an answer only where it is asked for."""
    if piece.source not in ("turn", "assistant"):
        return (piece.text,)
    wanted = "my_question" in question.kinds and piece.source == "turn"
    return tuple(
        sentence for sentence in sentences(piece.text) if wanted or not sentence.endswith(("?", "\uff1f"))
    )


def _distinct(found: Iterable[Match]) -> Iterable[Match]:
    """Each sentence once, from its best source; of equals the one with a date."""
    kept: dict[str, Match] = {}
    for match in found:
        key = without_dates(match.sentence).casefold().strip(" .!")
        before = kept.get(key)
        if before is None or (before.score, before.evidence.time is not None) < (
            match.score,
            match.evidence.time is not None,
        ):
            kept[key] = match
    return kept.values()
