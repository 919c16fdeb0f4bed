"""Conversations of two friends: one asks, the other answers, both talk about nothing in between."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random

from tests.benchmarks.planted.life import Beat, calendar, plan
from tests.benchmarks.planted.questions import questions
from tests.benchmarks.planted.records import Conversation
from tests.benchmarks.planted.topics import Topic, english
from tests.benchmarks.planted.wording import Person, filled
from tests.benchmarks.planted.writer import Writer

_SHE = "Ilse Maren Tova Selma Nadia Petra Oona Livia Greta Runa Dalia Mina Thea Karin Zofia"
_HE = "Anton Bram Elias Jonas Marek Nico Piet Sven Tarek Ulf Viktor Yannick Felix Hugo Ivo"
NAMES = {"she": _SHE.split(), "he": _HE.split()}
TOPICS_EACH = 10
SHARED = 3


class FriendsTalk(Writer):
    """One conversation of two friends, each with topics of their own."""

    def __init__(
        self, speakers: tuple[str, str], topics: tuple[Sequence[Topic], Sequence[Topic]], rng: Random
    ) -> None:
        super().__init__(speakers, {topic.name: topic for own in topics for topic in own}, rng)
        self._own_topics = dict(zip(speakers, topics, strict=True))
        self._mentions: list[Beat] = []

    def session(self, start: datetime, beats: list[Beat]) -> None:
        """One meeting: greetings, every beat, goodbyes. Mentions come up in between."""
        self._begin(start, self._rng.choice(self._speakers))
        self._mentions = [beat for beat in beats if not beat.tells]
        tellings = [beat for beat in beats if beat.tells]
        self._open(tellings)
        for beat in tellings:
            self._tell(beat)
            if self._chance(0.8):
                self._follow(beat)
            if self._chance(0.12):
                self._chat(beat)
        self._write(self._reaction(0.7), self._content(0.9), self._pick("bye"))
        self._write(self._reaction(0.5), self._pick("bye"))

    def _open(self, beats: list[Beat]) -> None:
        if beats and beats[0].teller == self._next and self._chance(0.7):
            self._tell(beats.pop(0), self._pick("greeting"))
            return
        self._write(self._pick("greeting"), self._content(0.4))
        self._write(self._pick("greeted"), self._content(0.6), self._maybe(0.15, "ask back"))

    def _tell(self, beat: Beat, *before: str) -> None:
        """The beat in its teller's words, by itself or after the other's question."""
        mine = self._next == beat.teller
        alone = bool(before) or not beat.matter.lead or self._chance(0.8 if mine else 0.25)
        if alone != mine:
            filler = [self._content(chance) for chance in (0.8, 0.5)]
            self._write(self._reaction(0.8), *filler, self._maybe(0.05, "ask back"))
        if not alone:
            self._write(
                self._reaction(0.8), self._echo(0.3), self._content(0.8), self._content(0.3), self._lead(beat)
            )
        telling, when = self._telling(beat, prompted=not alone)
        caption = self._caption(beat)
        number = self._write(
            *(before or (self._reaction(0.55),)),
            self._started(telling, 0.5) if alone else telling,
            self._aside(beat),
            self._small_talk(beat, 0.4) or self._maybe(0.4, "more"),
            self._pick("share") if caption and self._chance(0.6) else "",
            self._maybe(0.08, "ask back"),
            caption=caption,
            words=19,
        )
        self._keep(beat, number, when)

    def _follow(self, beat: Beat) -> None:
        """The other takes it up; sometimes the teller goes on, in words that do not name the matter."""
        asked = self._chance(0.15)
        self._write(
            self._reaction(0.9),
            self._echo(0.7),
            self._echo(0.3),
            self._own(beat) if self._chance(0.2) else "",
            self._content(0.7),
            self._maybe(1.0 if asked else 0.0, "ask more"),
            words=19,
        )
        if asked or self._chance(0.4):
            talk = (self._pick("more"), self._again(beat), self._small_talk(beat, 0.5))
            self._write(self._reaction(0.3), *talk, words=19)

    def _chat(self, beat: Beat) -> None:
        """Talk on the topic that no question asks for."""
        topic = {"t": beat.matter.topic}
        if self._next != beat.teller:
            self._write(self._reaction(0.6), self._content(0.5), filled(self._pick("topic ask"), topic))
        telling = filled(self._pick("topic talk"), topic) if self._chance(0.5) else ""
        self._write(self._reaction(0.3), telling, self._small_talk(beat, 1.0), self._content(0.8))

    def _write(self, *parts: str, caption: str = "", words: int = 14) -> str:
        """The next speaker's message, filled up to a length that varies around ``words``."""
        said = [part for part in parts if part]
        ending = [said.pop()] if said and said[-1].endswith("?") else []
        wanted = self._rng.lognormvariate(math.log(words), 0.55)
        while len(" ".join(said + ending).split()) < wanted:
            said.append(self._content(1.0))
        return super()._write(*dict.fromkeys(said + ending), caption=caption)

    def _content(self, chance: float) -> str:
        """Something to say that no question asks for: a mention, a word on one's topics, anything."""
        if not self._chance(chance):
            return ""
        due = [beat for beat in self._mentions if beat.teller == self._next]
        if due and self._chance(0.6):
            self._mentions.remove(due[0])
            return self._telling(due[0], prompted=False)[0]
        topics = self._own_topics[self._next]
        if self._chance(0.4):
            return self._rng.choice(self._rng.choice(topics).chat)
        if self._chance(0.2):
            return filled(self._pick("topic talk"), {"t": self._rng.choice(topics).name})
        return self._pick("more")

    def _reaction(self, chance: float) -> str:
        return self._maybe(chance, "reaction") if self._last else ""


def friends(seed: int) -> Conversation:
    """A conversation of two friends over some months; the same for the same seed."""
    rng = Random(f"friends {seed}")
    pronouns = rng.choices(("she", "he"), k=2)
    drawn = [rng.choice(NAMES[pronoun]) for pronoun in pronouns]
    if drawn[0] == drawn[1]:
        return friends(seed + 1_000_003)
    people = {name: Person(name, pronoun) for name, pronoun in zip(drawn, pronouns, strict=True)}
    drawn_topics = rng.sample(english(), 2 * TOPICS_EACH - SHARED)
    topics = (drawn_topics[:TOPICS_EACH], drawn_topics[TOPICS_EACH - SHARED :])
    sessions = rng.randint(20, 30)
    plans = [
        plan((drawn[0], drawn[1]), topics[0], sessions, rng),
        plan((drawn[1], drawn[0]), topics[1], sessions, rng),
    ]
    start = datetime(rng.choice((2022, 2023)), rng.randint(1, 6), rng.randint(1, 28), tzinfo=UTC)
    script = FriendsTalk((drawn[0], drawn[1]), topics, rng)
    for number, time in enumerate(calendar(start, sessions, rng)):
        beats = [beat for one in plans for beat in one.get(number, [])]
        rng.shuffle(beats)
        script.session(time, beats)
    asked_at = script.messages[-1].time + timedelta(days=1)
    asked = questions(script.told, people, asked_at, rng)
    return Conversation(f"friends-{seed}", (drawn[0], drawn[1]), tuple(script.messages), asked)
