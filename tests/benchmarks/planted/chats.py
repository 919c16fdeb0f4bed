"""Conversations of a user with an assistant, who takes up at length what the user tells in passing."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random

from tests.benchmarks.planted.life import Beat, calendar, plan
from tests.benchmarks.planted.questions import questions
from tests.benchmarks.planted.records import ASSISTANT, USER, Conversation
from tests.benchmarks.planted.topics import english
from tests.benchmarks.planted.wording import filled
from tests.benchmarks.planted.writer import Writer

TOPICS = 11


class Chat(Writer):
    """One user's sessions with the assistant."""

    _filler = "assistant acknowledgement"

    def session(self, start: datetime, beats: list[Beat]) -> None:
        """One session: the user's matters and small requests, each with the assistant's reply."""
        self._begin(start, USER)
        prompted = False
        for number, beat in enumerate(beats):
            opening = self._maybe(0.4, "user opening") if number == 0 else self._maybe(0.3, "user thanks")
            self._tell(beat, opening, prompted=prompted)
            coming = beats[number + 1] if number + 1 < len(beats) else None
            prompted = bool(coming and coming.tells and coming.matter.lead and self._chance(0.4))
            self._reply(beat, coming if prompted else None)
            if not prompted and self._chance(0.25):
                self._request()
        if not beats or self._chance(0.3):
            self._request()

    def _tell(self, beat: Beat, opening: str, *, prompted: bool) -> None:
        telling, when = self._telling(beat, prompted=prompted)
        caption = self._caption(beat) if self._chance(0.6) else ""
        number = self._write(
            opening,
            telling if prompted else self._started(telling, 0.3),
            self._aside(beat) if self._chance(0.7) else "",
            self._small_talk(beat, 0.3),
            self._pick("share") if caption else self._maybe(0.2, "user detail"),
            self._maybe(0.15, "user task"),
            caption=caption,
        )
        self._keep(beat, number, when)

    def _reply(self, beat: Beat, coming: Beat | None) -> None:
        topic = {"t": beat.matter.topic}
        closing = self._maybe(0.5, "assistant question")
        if coming:
            closing = self._lead(coming)
        self._write(
            self._maybe(0.8, "assistant acknowledgement"),
            self._echo(0.5) if beat.tells else "",
            filled(self._pick("assistant topic"), topic) if self._chance(0.35) else "",
            self._suggestion(beat) if self._chance(0.35) else "",
            self._maybe(0.6, "assistant advice"),
            closing,
        )

    def _suggestion(self, beat: Beat) -> str:
        """Other answers to the same matter: words that a question must not be led astray by."""
        if len(beat.others) < 2:
            return ""
        one, two = self._rng.sample(beat.others, 2)
        return filled(self._pick("assistant suggestion"), {"x": one, "y": two})

    def _request(self) -> None:
        self._write(self._maybe(0.3, "user opening"), self._pick("user task"))
        self._write(self._maybe(0.5, "assistant acknowledgement"), *self._some("assistant advice", 2))
        if self._chance(0.4):
            self._write(self._pick("user thanks"), self._maybe(0.3, "user detail"))
            self._write(self._pick("assistant acknowledgement"), self._maybe(0.5, "assistant question"))

    def _some(self, purpose: str, count: int) -> Sequence[str]:
        return [self._pick(purpose) for _ in range(count)]


def chats(seed: int) -> Conversation:
    """A user's conversation with an assistant over some months; the same for the same seed."""
    rng = Random(f"chats {seed}")
    topics = rng.sample(english(), TOPICS)
    sessions = rng.randint(20, 34)
    planned = plan((USER, USER), topics, sessions, rng)
    script = Chat((USER, ASSISTANT), {topic.name: topic for topic in topics}, rng)
    start = datetime(rng.choice((2024, 2025)), rng.randint(1, 6), rng.randint(1, 28), tzinfo=UTC)
    for number, time in enumerate(calendar(start, sessions, rng)):
        beats = planned.get(number, [])
        rng.shuffle(beats)
        script.session(time, beats)
    asked_at = script.messages[-1].time + timedelta(days=1)
    asked = questions(script.told, {}, asked_at, rng)
    return Conversation(f"chats-{seed}", (USER, ASSISTANT), tuple(script.messages), asked)
