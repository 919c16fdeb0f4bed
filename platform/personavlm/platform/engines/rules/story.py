"""What is quoted, and in which order: mostly one quote, for a course a few in order of time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from personavlm.platform.engines.rules.answers import is_plan
from personavlm.platform.engines.rules.question import Question, generic_stems
from personavlm.platform.engines.rules.relevance import Match
from personavlm.platform.engines.rules.statements import read_statements
from personavlm.platform.engines.rules.wording import day, passage, phrases, quoted, recollection
from personavlm.platform.engines.rules.words import content_words, sentences, stems, without_dates

MOST_QUOTED = 3
_BELONGS = 0.6  # share of the best score from which an item belongs to a list
_IN_COURSE = 0.5  # and from which it belongs to a course
_IN_RELATION = 0.3  # the same for what speaks of how two people get on
_ALIKE = 0.6  # share of common stems from which two quotes are one
_BRIEF = 4  # most words that name what was before, where no sentence is quoted


def story(found: Match, question: Question, now: datetime, ranked: Sequence[Match]) -> str:
    """The answer around the best find."""
    if "course" in question.cues and len(steps := _course(question, ranked)) > 1:
        return _in_order(steps, now)
    if "reached" in question.kinds and is_plan(found.sentence):
        found = _result_of(found, ranked) or found
    dated = "when" in question.cues
    parts = [recollection(found, now, dated=dated)]
    if "reached" in question.kinds and (goal := _goal_of(found, ranked)):
        parts.append(_with_day("goal", goal, now))
    elif "now" in question.cues and (before := _before(found, ranked, now)):
        parts.append(before)
    elif "list" in question.cues:
        parts += [_with_day("also", match, now) for match in _others(found, ranked)]
    return " ".join(parts)


def diary(told: Sequence[Match], now: datetime) -> str:
    """What was told in one span of time, in its order."""
    first, *rest = apart(told)[:MOST_QUOTED]
    parts, last_day = [recollection(first, now)], _day(first, now)
    for match in rest:
        parts.append(_with_day("also_then" if _day(match, now) == last_day else "also", match, now))
        last_day = _day(match, now)
    return " ".join(parts)


def apart(found: Iterable[Match]) -> list[Match]:
    """The matches without those that would quote nearly the same again."""
    kept: list[Match] = []
    for match in found:
        if not any(_alike(match, other) for other in kept):
            kept.append(match)
    return kept


def _alike(one: Match, other: Match) -> bool:
    first, second = (stems(without_dates(passage(match))) for match in (one, other))
    shared = len(first & second)
    if one.evidence.time and other.evidence.time and one.evidence.time != other.evidence.time:
        return shared >= _ALIKE * len(first | second)
    return shared >= _ALIKE * min(len(first), len(second))


def _course(question: Question, ranked: Sequence[Match]) -> list[Match]:
    """Steps of a change in order of time: what was, what brought the change, how it stands now."""
    best, related = max(match.score for match in ranked), "relation" in question.kinds
    telling = [
        match
        for match in ranked
        if match.score >= best * (_IN_RELATION if related and match.fits else _IN_COURSE) and _is_told(match)
    ]
    if related:
        telling = [match for match in telling if match.fits] or telling
    ended = next((match for match in telling if match.evidence.until), None)
    steps = _replacement(ended, question, ranked) if ended else _ends(telling)
    return sorted(apart(steps), key=_time)


def _replacement(ended: Match, question: Question, ranked: Sequence[Match]) -> list[Match]:
    """What ended, the first word of what came in its place, and the one that ended it."""
    later = [match for match in ranked if _is_told(match) and _time(match) > _time(ended)]
    last = [match for match in later if match.evidence.time == ended.evidence.until]
    new = question.focus - stems(ended.sentence) - generic_stems()
    first_words = [match for match in later if new & stems(match.sentence)]
    return [ended, *last[:1], *sorted(first_words, key=_time)[:1]]


def _is_told(match: Match) -> bool:
    return bool(match.evidence.time) and match.evidence.source not in ("assistant", "episode")


def _ends(telling: Sequence[Match]) -> list[Match]:
    """The first, the last, and the best in between."""
    ordered = sorted(apart(telling), key=_time)
    if len(ordered) <= MOST_QUOTED:
        return ordered
    return [ordered[0], max(ordered[1:-1], key=lambda match: match.score), ordered[-1]]


def _in_order(steps: Sequence[Match], now: datetime) -> str:
    """Each step with its day; the one that ended another says so."""
    ends = {match.evidence.until for match in steps if match.evidence.until}
    parts = [_with_day("course_first", steps[0], now)]
    for match in steps[1:]:
        parts.append(_with_day("course_end" if match.evidence.time in ends else "course_then", match, now))
    if ends and not any(match.evidence.time in ends for match in steps):
        parts.append(str(phrases()["held_until"]).format(until=_until(max(ends), now)))
    return " ".join(parts)


def _until(end: datetime, now: datetime) -> str:
    return day(end, now).removeprefix("on ")


def _others(first: Match, ranked: Sequence[Match]) -> list[Match]:
    """Further items of a list."""
    rest = [
        match
        for match in ranked
        if match.score >= first.score * _BELONGS
        and match.evidence.time
        and match.evidence.source != "assistant"
        and match.fits >= first.fits
    ]
    return apart((first, *rest))[1:MOST_QUOTED]


def _result_of(goal: Match, ranked: Sequence[Match]) -> Match | None:
    """What was told later in the words of an aim."""
    about = stems(without_dates(goal.sentence)) - generic_stems()

    def shared(match: Match) -> int:
        return len(about & stems(match.sentence))

    told = [match for match in ranked if _is_told(match) and not is_plan(match.sentence)]
    later = [match for match in told if _time(match) > _time(goal) and 2 * shared(match) >= len(about)]
    return max(later, key=shared, default=None)


def _goal_of(result: Match, ranked: Sequence[Match]) -> Match | None:
    """The aim that a result belongs to, as it was told before."""
    about = stems(result.sentence) - generic_stems()
    goals = [
        match
        for match in ranked
        if is_plan(match.sentence) and match.evidence.time and _time(match) < _time(result)
    ]
    akin = [match for match in goals if about & stems(f"{match.evidence.text} {match.evidence.context}")]
    return akin[0] if akin and akin[0].score >= result.score * _IN_COURSE / 2 else None


def _before(found: Match, ranked: Sequence[Match], now: datetime) -> str:
    """What the thing found took the place of, in a few words, or nothing."""
    for match in ranked:
        if match.evidence.until and match.evidence.until == found.evidence.time:
            what = _difference(next(iter(sentences(match.sentence)), ""), found.sentence)
            until = _until(match.evidence.until, now)
            return str(phrases()["before"]).format(what=what, until=until) if what else ""
    return ""


def _difference(old: str, new: str) -> str:
    """The words of the old statement that set it apart from the new one, if they are few and together."""
    spoken = without_dates(old).rstrip(" .!").split()
    given_up = frozenset().union(*(stems(statement.given_up) for statement in read_statements(new)))
    common = generic_stems() | (stems(new) - given_up)
    own = [i for i, word in enumerate(spoken) if content_words(word) and not stems(word) <= common]
    if not own or own[-1] - own[0] >= _BRIEF:
        return ""
    return " ".join(spoken[own[0] : own[-1] + 1]).strip(",;:")


def _with_day(form: str, match: Match, now: datetime) -> str:
    when = _day(match, now)
    quote = quoted(passage(match))
    until = when.removeprefix("on ")
    return str(phrases()[form]).format(when=when, When=when[0].upper() + when[1:], until=until, quote=quote)


def _day(match: Match, now: datetime) -> str:
    return day(match.evidence.time, now) if match.evidence.time else "once"


def _time(match: Match) -> datetime:
    return match.evidence.time or datetime.max
