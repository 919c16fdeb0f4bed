"""Conversations of a user with an assistant, who takes up at length what the user tells in passing."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random

from tests.benchmarks.planted.life import Beat, calendar, plan
from tests.benchmarks.planted.questions import questions, without_doubles
from tests.benchmarks.planted.records import ASSISTANT, USER, Conversation, Question
from tests.benchmarks.planted.topics import Topic, english, talk
from tests.benchmarks.planted.wording import as_noun, asked_of, filled, put_to
from tests.benchmarks.planted.writer import Writer

TOPICS = 11


class Chat(Writer):
    """One user's sessions with the assistant."""

    _filler = "assistant acknowledgement"

    def __init__(self, topics: Mapping[str, Topic], rng: Random) -> None:
        super().__init__((USER, ASSISTANT), topics, rng)
        self._suggested: list[tuple[Beat, str]] = []

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
            self._small_talk(beat, 0.4),
            self._again(beat) if beat.tells and self._chance(0.15) else self._maybe(0.4, "more"),
            self._pick("share") if caption else self._maybe(0.2, "user detail"),
            self._maybe(0.15, "user task"),
            caption=caption,
        )
        self._keep(beat, number, when)

    def _reply(self, beat: Beat, coming: Beat | None) -> None:
        topic = {"t": beat.matter.topic}
        suggestion = self._suggestion(beat) if self._chance(0.4) else ""
        closing = self._maybe(0.5, "assistant question")
        if coming:
            closing = self._lead(coming)
        number = self._write(
            self._maybe(0.8, "assistant acknowledgement"),
            self._echo(0.5) if beat.tells else "",
            filled(self._pick("assistant topic"), topic) if self._chance(0.35) else "",
            suggestion,
            self._maybe(0.6, "assistant advice"),
            closing,
        )
        if suggestion:
            self._suggested.append((beat, number))

    def suggestion_questions(self, asked_at: datetime) -> Iterator[Question]:
        """What the assistant itself said: the user asks for that, too."""
        for beat, number in self._suggested:
            matter = as_noun(beat.anchor.asked) if beat.anchor else None
            if matter:
                text = asked_of(self._pick("suggestion ask"), None, {"a": matter})
                yield Question(text, "single-hop", (number,), asked_at)

    def _suggestion(self, beat: Beat) -> str:
        """Other answers to the same matter: words that a question must not be led astray by."""
        if len(beat.others) < 2:
            return ""
        one, two = self._rng.sample(beat.others, 2)
        matter = as_noun(beat.anchor.said) if beat.anchor else None
        lines = [line for line in talk()["assistant suggestion"] if matter or "{a}" not in line]
        return put_to(self._rng.choice(lines), {"x": one, "y": two, "a": matter or ""})

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
    script = Chat({topic.name: topic for topic in topics}, rng)
    start = datetime(rng.choice((2024, 2025)), rng.randint(1, 6), rng.randint(1, 28), tzinfo=UTC)
    for number, time in enumerate(calendar(start, sessions, rng)):
        beats = planned.get(number, [])
        rng.shuffle(beats)
        script.session(time, beats)
    asked_at = script.messages[-1].time + timedelta(days=1)
    asked = (*questions(script.told, {}, asked_at, rng), *script.suggestion_questions(asked_at))
    return Conversation(f"chats-{seed}", (USER, ASSISTANT), tuple(script.messages), without_doubles(asked))
