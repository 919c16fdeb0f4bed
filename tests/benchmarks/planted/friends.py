"""Conversations of two friends: one asks, the other answers, both talk about nothing in between."""

from datetime import UTC, datetime, timedelta
from random import Random

from tests.benchmarks.planted.life import Beat, calendar, plan
from tests.benchmarks.planted.questions import questions
from tests.benchmarks.planted.records import Conversation
from tests.benchmarks.planted.topics import english
from tests.benchmarks.planted.wording import Person, filled
from tests.benchmarks.planted.writer import Writer

_SHE = "Ilse Maren Tova Selma Nadia Petra Oona Livia Greta Runa Dalia Mina Thea Karin Zofia"
_HE = "Anton Bram Elias Jonas Marek Nico Piet Sven Tarek Ulf Viktor Yannick Felix Hugo Ivo"
NAMES = {"she": _SHE.split(), "he": _HE.split()}
TOPICS_EACH = 8
SHARED = 3


class FriendsTalk(Writer):
    """One conversation of two friends."""

    def session(self, start: datetime, beats: list[Beat]) -> None:
        """One meeting: greetings, every beat, goodbyes."""
        self._begin(start, self._rng.choice(self._speakers))
        self._open(beats)
        for beat in beats:
            self._tell(beat)
            self._follow(beat)
            if self._chance(0.3):
                self._chat(beat)
        for _ in range(self._rng.randint(1, 2)):
            self._write(self._reaction(0.7), self._pick("bye"))

    def _open(self, beats: list[Beat]) -> None:
        if beats and beats[0].teller == self._next and self._chance(0.45):
            self._tell(beats.pop(0), self._pick("greeting"))
            return
        self._write(self._pick("greeting"))
        self._write(self._pick("greeted"), self._maybe(0.4, "more"), self._maybe(0.4, "ask back"))

    def _tell(self, beat: Beat, *before: str) -> None:
        """The beat in its teller's words, by itself or after the other's question."""
        alone = bool(before) or not (beat.matter.lead and beat.tells) or self._chance(0.35)
        if not alone:
            if self._next == beat.teller:
                self._write(self._reaction(0.8), self._maybe(0.7, "more"), self._maybe(0.5, "ask back"))
            self._write(self._reaction(0.8), self._echo(0.3), self._lead(beat))
        elif self._next != beat.teller:
            self._write(self._reaction(0.8), self._maybe(0.6, "more"), self._maybe(0.6, "ask back"))
        telling, when = self._telling(beat, prompted=not alone)
        caption = self._caption(beat)
        number = self._write(
            *(before or (self._reaction(0.55),)),
            self._started(telling, 0.5) if alone else telling,
            self._aside(beat),
            self._maybe(0.35, "more") or self._small_talk(beat, 0.4),
            self._pick("share") if caption and self._chance(0.6) else "",
            self._maybe(0.22, "ask back"),
            caption=caption,
        )
        self._keep(beat, number, when)

    def _follow(self, beat: Beat) -> None:
        """The other takes it up; sometimes the teller goes on, in words that do not name the matter."""
        if not self._chance(0.75):
            return
        asked = self._chance(0.6)
        own = self._own(beat) if self._chance(0.2) else ""
        self._write(
            self._reaction(0.9), self._echo(0.4), own, self._pick("ask more") if asked else self._pick("more")
        )
        while asked:
            self._write(self._reaction(0.3), self._pick("more"), self._maybe(0.5, "more"))
            asked = self._chance(0.3)
            if asked:
                self._write(self._reaction(0.8), self._pick("ask more"))

    def _chat(self, beat: Beat) -> None:
        """Talk on the topic that no question asks for."""
        topic = {"t": beat.matter.topic}
        if self._next != beat.teller:
            self._write(self._reaction(0.6), filled(self._pick("topic ask"), topic))
        else:
            talk = filled(self._pick("topic talk"), topic)
            self._write(self._reaction(0.6), talk, self._small_talk(beat, 0.5))
            return
        answer = self._small_talk(beat, 1.0)
        self._write(answer, self._maybe(0.5, "more"), self._maybe(0.3, "ask back"))

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
    topics = rng.sample(english(), 2 * TOPICS_EACH - SHARED)
    sessions = rng.randint(19, 32)
    plans = [
        plan((drawn[0], drawn[1]), topics[:TOPICS_EACH], sessions, rng),
        plan((drawn[1], drawn[0]), topics[TOPICS_EACH - SHARED :], sessions, rng),
    ]
    start = datetime(rng.choice((2022, 2023)), rng.randint(1, 6), rng.randint(1, 28), tzinfo=UTC)
    script = FriendsTalk((drawn[0], drawn[1]), {topic.name: topic for topic in topics}, rng)
    for number, time in enumerate(calendar(start, sessions, rng)):
        beats = [beat for one in plans for beat in one.get(number, [])]
        rng.shuffle(beats)
        script.session(time, beats)
    asked_at = script.messages[-1].time + timedelta(days=1)
    asked = questions(script.told, people, asked_at, rng)
    return Conversation(f"friends-{seed}", (drawn[0], drawn[1]), tuple(script.messages), asked)
