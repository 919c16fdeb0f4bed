"""What a speaker has to tell, and in which session: the plan of a conversation before it has words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from random import Random

from tests.benchmarks.planted.times import When
from tests.benchmarks.planted.topics import Anchor, Matter, Topic, talk
from tests.benchmarks.planted.wording import as_noun, second_person

UNTOLD_EVENTS = 0.35
DETAILED = 0.5
MENTIONS = (0, 1, 1, 2)


@dataclass(frozen=True, slots=True)
class Beat:
    """One thing that ``teller`` tells once.

    ``line`` is the telling itself where the matter lists them, or a mere mention of the anchor: then
    ``tells`` is False, and no question asks for it. ``detail`` is a circumstance, ``asked|said``.
    """

    teller: str
    matter: Matter
    anchor: Anchor | None = None
    answer: str = ""
    others: tuple[str, ...] = ()
    line: str = ""
    detail: str = ""
    tells: bool = True


@dataclass(frozen=True, slots=True)
class Told:
    """A beat after it was told: in which message, on which day, and what time it spoke of."""

    beat: Beat
    message: str
    day: date
    when: When | None


Plan = dict[int, list[Beat]]


def plan(
    speakers: tuple[str, str],
    topics: Sequence[Topic],
    sessions: int,
    rng: Random,
    *,
    talk_around: bool = True,
) -> Plan:
    """Beats by session of the first of the two speakers. A topic comes up in a few sessions.

    What was told is mentioned at other times as well, by either speaker, without being told again,
    and has circumstances; neither in a plan without ``talk_around``, whose words are English.
    """
    planned: Plan = {}
    for topic in topics:
        chosen = sorted(rng.sample(range(sessions), min(sessions, rng.randint(3, 5))))
        for matter in topic.matters:
            for beat in _beats(speakers[0], matter, rng, DETAILED if talk_around else 0.0):
                session = rng.choice(chosen)
                planned.setdefault(session, []).append(beat)
                for mention in _mentions(beat, speakers, rng) if talk_around else ():
                    planned.setdefault(rng.choice((session, *chosen)), []).append(mention)
    return planned


def _beats(teller: str, matter: Matter, rng: Random, detailed: float) -> Iterator[Beat]:
    if matter.kind == "event" and rng.random() < UNTOLD_EVENTS:
        return
    if matter.items:
        fewest = 2 if matter.kind == "list" else 1
        count = rng.randint(min(fewest, len(matter.items)), len(matter.items))
        for item in rng.sample(matter.items, count):
            again = 2 if rng.random() < 0.2 else 1
            for line in rng.sample(item, min(again, len(item))):
                yield Beat(teller, matter, line=line)
        return
    # A matter without anchors is told twice at most: the second telling is what holds from then on.
    limit = len(matter.anchors) or 2
    count = min(rng.choice((1, 1, 2, 2, 3)) if matter.anchors else rng.choice((0, 1, 1, 2)), limit)
    answers = rng.sample(matter.answers, min(count, len(matter.answers))) or [""]
    anchors: list[Anchor | None] = list(rng.sample(matter.anchors, min(count, len(matter.anchors))))
    for anchor, answer in zip(anchors or [None] * len(answers), answers * count, strict=False):
        others = tuple(other for other in matter.answers if other != answer)
        detail = rng.choice(talk()["detail"]) if rng.random() < detailed else ""
        yield Beat(teller, matter, anchor, answer, others, detail=detail)


def _mentions(beat: Beat, speakers: tuple[str, str], rng: Random) -> Iterator[Beat]:
    if beat.anchor is None or as_noun(beat.anchor.said) is None:
        return
    for _ in range(rng.choice(MENTIONS) + (beat.matter.kind == "event")):
        by = rng.choice((0, 0, 1)) if speakers[0] != speakers[1] else 0
        line = rng.choice(talk()["other mention" if by else "mention"])
        anchor = Anchor("", second_person(beat.anchor.said)) if by else beat.anchor
        yield Beat(speakers[by], beat.matter, anchor, line=line, tells=False)


def calendar(start: datetime, sessions: int, rng: Random, most_days: int = 14) -> list[datetime]:
    """The beginning of each session, in the day's waking hours, one to ``most_days`` days apart."""
    days = [start.toordinal()]
    for _ in range(sessions - 1):
        days.append(days[-1] + rng.randint(1, most_days))
    clock = ((rng.randint(8, 22), rng.randint(0, 59)) for _ in days)
    return [
        datetime.fromordinal(day).replace(hour=hour, minute=minute, tzinfo=start.tzinfo)
        for day, (hour, minute) in zip(days, clock, strict=True)
    ]
