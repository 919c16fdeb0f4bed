"""Questions about what was told, of all categories of LoCoMo, each with the messages that answer it."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from random import Random

from tests.benchmarks.planted.life import Told
from tests.benchmarks.planted.records import Category, Question
from tests.benchmarks.planted.times import on, seen_from, within
from tests.benchmarks.planted.topics import Matter
from tests.benchmarks.planted.wording import Person, asked_of

DATED = 0.17
SWAPPED = 0.9
SWAPPED_EVENTS = 0.25

Group = tuple[str, str, int]
"""Teller, topic, number of the matter."""


class Asker:
    """Forms questions about one conversation. ``people`` is empty where the user asks about themself."""

    def __init__(
        self, told: Sequence[Told], people: Mapping[str, Person], asked_at: datetime, rng: Random
    ) -> None:
        self._people, self._asked_at, self._rng = people, asked_at, rng
        self._groups: dict[Group, list[Told]] = defaultdict(list)
        for one in told:
            self._groups[one.beat.teller, one.beat.matter.topic, one.beat.matter.number].append(one)

    def all(self) -> Iterator[Question]:
        """Every question that this conversation can be asked."""
        for group in self._groups.values():
            matter = group[0].beat.matter
            if matter.kind == "fact":
                yield from self._facts(group, matter)
            elif matter.kind == "event":
                yield from self._events(group, matter)
            else:
                yield self._gathering(group, matter)

    def _facts(self, group: list[Told], matter: Matter) -> Iterator[Question]:
        for number, one in enumerate(group):
            question = self._ask(one, matter.ask)
            if not one.beat.anchor and len(group) > 1:
                question = self._changed(question, one, newest=number == len(group) - 1)
            elif self._rng.random() < DATED:
                question = self._dated(question, self._date(one))
            yield self._question(question, "single-hop", [one])
            yield from self._swapped(one, SWAPPED)
        yield from self._every(group, matter)

    def _events(self, group: list[Told], matter: Matter) -> Iterator[Question]:
        for one in group:
            yield self._question(self._ask(one, matter.ask), "temporal", [one])
            yield from self._swapped(one, SWAPPED_EVENTS)
            assert one.when
            same = [o for o in group if o.when and o.when.first.month == one.when.first.month]
            if matter.what and same[0] is one and one.when.first.month == one.when.last.month:
                yield self._question(self._ask(one, matter.what), "temporal", same)

        yield from self._every(group, matter)

    def _every(self, group: list[Told], matter: Matter) -> Iterator[Question]:
        if matter.every and len(group) > 1:
            yield self._question(self._ask(group[0], matter.every), "multi-hop", group)

    def _swapped(self, one: Told, chance: float) -> Iterator[Question]:
        """The same asked about the other speaker, who told nothing of the kind."""
        if self._only_told_by(one) and self._rng.random() < chance:
            other = next(name for name in self._people if name != one.beat.teller)
            yield self._question(self._ask(one, one.beat.matter.ask, other), "adversarial", [one])

    def _gathering(self, group: list[Told], matter: Matter) -> Question:
        category: Category = "open-domain" if matter.kind == "infer" else "multi-hop"
        return self._question(self._ask(group[0], matter.ask), category, group)

    def _ask(self, one: Told, templates: Sequence[str], about: str = "") -> str:
        anchor = one.beat.anchor.asked if one.beat.anchor else ""
        values = {"a": anchor, "x": one.beat.answer, "then": self._then(one)}
        person = self._people.get(about or one.beat.teller)
        template = self._rng.choice(templates)
        return asked_of(
            self._detailed(template, one) if templates is one.beat.matter.ask else template, person, values
        )

    def _detailed(self, template: str, one: Told) -> str:
        """The question with the circumstance at its end, where its verb allows that."""
        detail = one.beat.detail.partition("|")[0]
        return self._dated(template, detail) if detail and " did " in template else template

    def _then(self, one: Told) -> str:
        if one.when is None:
            return ""
        if self._people or one.when.first != one.when.last:
            return within(one.when.first, self._rng)
        near = seen_from(self._asked_at.date(), one.when.first, self._rng)
        return near or within(one.when.first, self._rng)

    def _date(self, one: Told) -> str:
        return on(one.day, self._rng) if self._rng.random() < 0.6 else within(one.day, self._rng)

    def _now(self) -> str:
        return self._rng.choice(("now", "these days", "at the moment", "currently"))

    def _dated(self, question: str, date: str) -> str:
        """The question with a time or circumstance at its end."""
        return f"{question.removesuffix('?')} {date}?"

    def _changed(self, question: str, one: Told, *, newest: bool) -> str:
        if newest and " did " not in question and "made" not in question:
            return self._dated(question, self._now())
        return self._dated(question, self._date(one))

    def _only_told_by(self, one: Told) -> bool:
        """Whether no other speaker told anything of the matter, so that the swapped question is a trap."""
        beat = one.beat
        others = [name for name in self._people if name != beat.teller]
        matter = (beat.matter.topic, beat.matter.number)
        return bool(others) and not any((other, *matter) in self._groups for other in others)

    def _question(self, text: str, category: Category, told: Sequence[Told]) -> Question:
        evidence = dict.fromkeys(one.message for one in sorted(told, key=lambda one: one.day))
        return Question(text, category, tuple(evidence), self._asked_at)


def questions(
    told: Sequence[Told], people: Mapping[str, Person], asked_at: datetime, rng: Random
) -> tuple[Question, ...]:
    """All questions, no text twice."""
    return without_doubles(tuple(Asker(told, people, asked_at, rng).all()))


def without_doubles(asked: Sequence[Question]) -> tuple[Question, ...]:
    """The questions without those that share their text: nobody could tell which evidence is meant."""
    found = Counter(question.text for question in asked)
    return tuple(question for question in asked if found[question.text] == 1)
