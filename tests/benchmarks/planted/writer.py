"""What both kinds of conversation are written with: one message at a time, in the words of a plan."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from random import Random

from tests.benchmarks.planted.life import Beat, Told
from tests.benchmarks.planted.records import ASSISTANT, Message
from tests.benchmarks.planted.times import When, coming, past
from tests.benchmarks.planted.topics import Topic, talk
from tests.benchmarks.planted.wording import YOU, as_noun, asked_of, filled, lowered, put_to, told


class Writer:
    """Messages of two speakers who take turns, and what was told in them."""

    _filler = "reaction"

    def __init__(self, speakers: tuple[str, str], topics: Mapping[str, Topic], rng: Random) -> None:
        self.messages: list[Message] = []
        self.told: list[Told] = []
        self._speakers, self._topics, self._rng = speakers, topics, rng
        self._session, self._time = -1, datetime.min
        self._next = speakers[0]
        self._last: Beat | None = None

    def _begin(self, start: datetime, first: str) -> None:
        self._session += 1
        self._time, self._last, self._next = start, None, first

    def _telling(self, beat: Beat, *, prompted: bool) -> tuple[str, When | None]:
        """The beat in its teller's words; ``prompted`` where the message before asked for it."""
        choices = beat.matter.bare if prompted and self._chance(0.55) else ()
        template = beat.line or self._rng.choice(choices or beat.matter.say)
        when = self._when(template)
        telling = told(template, self._values(beat, when), self._rng)
        if beat.tells and beat.matter.kind == "fact" and self._chance(0.12):
            telling = f"{asked_of(self._rng.choice(beat.matter.ask), None, self._values(beat))} {telling}"
        return telling, when

    def _started(self, telling: str, chance: float) -> str:
        opening = self._maybe(chance, "start")
        return (
            f"{opening} {lowered(telling)}"
            if opening.endswith((",", ":"))
            else f"{opening} {telling}".strip()
        )

    def _keep(self, beat: Beat, message: str, when: When | None) -> None:
        if beat.tells:
            self.told.append(Told(beat, message, self._time.date(), when))
            self._last = beat

    def _aside(self, beat: Beat) -> str:
        if beat.detail:
            return beat.detail.partition("|")[2]
        if beat.matter.hint and self._chance(0.6):
            return self._rng.choice(beat.matter.hint)
        return self._maybe(0.75, "more")

    def _write(self, *parts: str, caption: str = "") -> str:
        """The next speaker's message; returns its id."""
        other = self._other(self._next)
        text = " ".join(part for part in parts if part) or self._pick(self._filler)
        self._time += timedelta(seconds=self._rng.randint(20, 90))
        if not caption and self._next != ASSISTANT and self._chance(0.16):
            caption = self._picture()
        number = f"{self._session + 1}:{sum(m.session == self._session for m in self.messages) + 1}"
        text = text.replace("{O}", other)
        self.messages.append(Message(number, self._session, self._next, self._time, text, caption))
        self._next = other
        return number

    def _other(self, name: str) -> str:
        return self._speakers[1] if name == self._speakers[0] else self._speakers[0]

    def _when(self, template: str) -> When | None:
        if "{when}" in template.lower():
            return past(self._time.date(), self._rng)
        return coming(self._time.date(), self._rng) if "{soon}" in template.lower() else None

    def _values(self, beat: Beat, when: When | None = None) -> dict[str, str]:
        time = when.text if when else ""
        anchor = beat.anchor.said if beat.anchor else ""
        if not beat.tells:
            anchor = as_noun(anchor) or anchor
        return {"a": anchor, "x": beat.answer, "when": time, "soon": time}

    def _lead(self, beat: Beat) -> str:
        """The other's question: one that fits the talk, or the very question that is asked later."""
        if beat.matter.kind != "event" and self._chance(0.5):
            return asked_of(self._rng.choice(beat.matter.ask), YOU, self._values(beat))
        return put_to(self._rng.choice(beat.matter.lead), self._values(beat))

    def _caption(self, beat: Beat) -> str:
        if not self._chance(0.45):
            return ""
        if beat.answer.startswith(("a ", "an ", "two ", "the ")) and self._chance(0.5):
            return f"a photo of {beat.answer}"
        return self._picture(beat)

    def _picture(self, beat: Beat | None = None) -> str:
        topic = self._topics[beat.matter.topic] if beat else self._rng.choice(list(self._topics.values()))
        return self._rng.choice(topic.captions) if topic.captions else ""

    def _small_talk(self, beat: Beat, chance: float) -> str:
        return self._rng.choice(self._topics[beat.matter.topic].chat) if self._chance(chance) else ""

    def _echo(self, chance: float) -> str:
        last = self._last
        if not last or last.teller == self._next or not self._chance(chance):
            return ""
        if last.anchor and (not last.answer or self._chance(0.4)):
            anchor = as_noun(last.anchor.said)
            return put_to(self._pick("anchor echo"), {"a": anchor}) if anchor else ""
        return put_to(self._pick("echo"), self._values(last)) if last.answer else ""

    def _again(self, beat: Beat) -> str:
        """The teller goes on about the anchor, without the answer."""
        anchor = as_noun(beat.anchor.said) if beat.anchor else None
        return told(self._pick("again"), {"a": anchor}, self._rng) if anchor else ""

    def _own(self, beat: Beat) -> str:
        return filled(self._pick("own"), {"x": self._rng.choice(beat.others)}) if beat.others else ""

    def _maybe(self, chance: float, purpose: str) -> str:
        return self._pick(purpose) if self._chance(chance) else ""

    def _pick(self, purpose: str) -> str:
        return self._rng.choice(talk()[purpose])

    def _chance(self, chance: float) -> bool:
        return self._rng.random() < chance
