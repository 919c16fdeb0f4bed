"""A user's conversation with an assistant in Chinese: a test set for words without spaces between them."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from random import Random

from tests.benchmarks.planted.life import Beat, Told, calendar, plan
from tests.benchmarks.planted.questions import Asker, without_doubles
from tests.benchmarks.planted.records import ASSISTANT, USER, Conversation, Message, Question
from tests.benchmarks.planted.times import DAY, When
from tests.benchmarks.planted.topics import Topic, parse, small_talk
from tests.benchmarks.planted.wording import filled

FOLDER = Path(__file__).parent
TOPICS = 9
WEEKDAYS = "一二三四五六日"


def _last_weekday(day: date, rng: Random) -> When:
    found = day - timedelta(days=day.weekday() + rng.randint(1, 7))
    return When(f"上周{WEEKDAYS[found.weekday()]}", found, found)


def _on_date(day: date, rng: Random) -> When:
    found = day - timedelta(days=rng.randint(3, 20))
    return When(f"{found.month}月{found.day}日", found, found)


PAST: tuple[Callable[[date, Random], When], ...] = (
    lambda day, _: When("昨天", day - DAY, day - DAY),
    lambda day, _: When("今天早上", day, day),
    lambda day, _: When("三天前", day - 3 * DAY, day - 3 * DAY),
    _last_weekday,
    _on_date,
)


@cache
def chinese_topics() -> tuple[Topic, ...]:
    """All Chinese topics."""
    return tuple(parse((FOLDER / "chinese_topics.txt").read_text()))


class ChineseChat:
    """Writes the messages of one conversation."""

    def __init__(self, topics: dict[str, Topic], rng: Random) -> None:
        self.messages: list[Message] = []
        self.told: list[Told] = []
        self._topics, self._rng = topics, rng
        self._talk = small_talk(FOLDER / "chinese_talk.txt")

    def session(self, number: int, start: datetime, beats: list[Beat]) -> None:
        """One session: every beat, and requests that have nothing to do with them."""
        time = start
        for beat in beats:
            time += timedelta(minutes=2)
            self._tell(number, time, beat)
        for _ in range(self._rng.randint(1, 4)):
            time += timedelta(minutes=2)
            self._exchange(number, time, self._pick("request"), self._pick("advice"))

    def _tell(self, number: int, time: datetime, beat: Beat) -> None:
        template = beat.line or self._rng.choice(beat.matter.say)
        when = self._rng.choice(PAST)(time.date(), self._rng) if "{when}" in template else None
        anchor = beat.anchor.said if beat.anchor else ""
        telling = filled(template, {"a": anchor, "x": beat.answer, "when": when.text if when else ""})
        chat = self._rng.choice(self._topics[beat.matter.topic].chat)
        said = [self._maybe("opening", 0.2), telling, self._maybe("more", 0.6)]
        said.append(chat if self._rng.random() < 0.4 else "")
        echo = filled(self._pick("echo"), {"x": beat.answer}) if beat.answer else ""
        reply = (
            self._pick("acknowledgement") + (echo if self._rng.random() < 0.5 else "") + self._pick("advice")
        )
        self.told.append(Told(beat, self._exchange(number, time, "".join(said), reply), time.date(), when))

    def _exchange(self, session: int, time: datetime, user: str, assistant: str) -> str:
        """The user's message and the reply; returns the id of the first."""
        count = len(self.messages)
        for place, (speaker, text) in enumerate(((USER, user), (ASSISTANT, assistant))):
            moment = time + timedelta(seconds=20 * place)
            self.messages.append(Message(f"m{count + place}", session, speaker, moment, text))
        return f"m{count}"

    def _maybe(self, purpose: str, chance: float) -> str:
        return self._pick(purpose) if self._rng.random() < chance else ""

    def _pick(self, purpose: str) -> str:
        return self._rng.choice(self._talk[purpose])


class ChineseAsker(Asker):
    """Questions in Chinese name times the Chinese way."""

    def _date(self, one: Told) -> str:
        return f"{one.day.month}月{one.day.day}日"

    def _dated(self, question: str, date: str) -> str:
        return f"{date}{question}"

    def _now(self) -> str:
        return "现在"


def chinese(seed: int) -> Conversation:
    """A user's conversation with an assistant in Chinese; the same for the same seed."""
    rng = Random(f"chinese {seed}")
    topics = rng.sample(chinese_topics(), TOPICS)
    sessions = rng.randint(20, 30)
    planned = plan((USER, USER), topics, sessions, rng, talk_around=False)
    script = ChineseChat({topic.name: topic for topic in topics}, rng)
    times = calendar(datetime(2025, rng.randint(1, 6), rng.randint(1, 28), tzinfo=UTC), sessions, rng)
    for number, time in enumerate(times):
        beats = planned.get(number, [])
        rng.shuffle(beats)
        script.session(number, time, beats)
    asked_at = script.messages[-1].time + timedelta(days=1)
    asked: tuple[Question, ...] = tuple(ChineseAsker(script.told, {}, asked_at, rng).all())
    return Conversation(f"chinese-{seed}", (USER, ASSISTANT), tuple(script.messages), without_doubles(asked))
