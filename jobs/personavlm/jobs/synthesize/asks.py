"""Questions about a life, each with its answer, the turns that tell it, and what must be seen to know it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from random import Random

from pydantic import AwareDatetime, Field

from personavlm.jobs.data.rows import LETTERS, Record
from personavlm.jobs.synthesize.config import QuestionForms
from personavlm.jobs.synthesize.life import LifeTurn, Persona, Picture
from personavlm.jobs.synthesize.world import filled, world
from personavlm.memory_store.records import TRAITS

Groups = tuple[tuple[str, ...], ...]
"""Of each group one row of what is shown must hold all words."""

KINDS = {  # our words and those of Persona-MME, where it has the same
    "preference": "Latest Preference Recognition",
    "evolution": "Interest Evolution Analysis",
    "recommendation": "Implicit Preference Recommendation",
    "relation": "Relationship Recognition",
    "tone": "Relationship Dynamics Comprehension",
    "habit": "Behavioral Pattern Recognition",
    "progress": "Long-term Goal Tracking",
    "event": "Semantic Information Recall",
    "plan": "Explicit Intent Inference",
    "colour": "Visual Detail Recall",
    "tailored": "Personality Alignment",
    "style": "Core Memory",
    "concept": "Image to Concept",
    "hop": "Two Hops",
    "absent": "Absent",
}
NOT_TOLD = "You have not told me about that."


class Ask(Record):
    """A question. ``gold`` is the answer's word; ``needs`` what must be seen to know it; ``window`` the days
    that it speaks of. ``options`` are empty where the answer is free. ``trait`` decides a tailored one."""

    id: str
    kind: str
    time: AwareDatetime
    text: str
    gold: str
    needs: Groups = ()
    evidence: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    then: tuple[str, ...] = ()
    window: tuple[AwareDatetime, AwareDatetime] | None = None
    options: tuple[str, ...] = ()
    rivals: tuple[str, ...] = Field((), exclude=True)
    trait: str = ""
    picture: Picture | None = None

    @property
    def letter(self) -> str:
        """ "(b)" where ``gold`` is the second option; empty without options."""
        return f"({LETTERS[self.options.index(self.gold)]})" if self.options else ""


class Asker:
    """Forms questions about what was told up to a session."""

    def __init__(self, persona: Persona, told: Sequence[LifeTurn], now: datetime, rng: Random) -> None:
        self._persona, self._told, self._now, self._rng = persona, told, now, rng
        self._current: dict[tuple[str, str], LifeTurn] = {}
        for turn in told:
            self._current[self._matter(turn), turn.beat.key] = turn

    def all(self) -> Iterator[Ask]:
        """Every question that can be asked now, without options and ids."""
        for (matter, _), turn in self._current.items():
            if matter == "preference":
                yield self._of("preference", turn, self._slot(turn))
                yield self._of("recommendation", turn, self._slot(turn))
            elif matter == "relationship":
                yield from self._person(turn)
            elif matter in ("habit", "plan", "progress"):
                yield self._of(matter, turn, self._rivals(matter, turn))
        for turn in self._told:
            yield from self._dated(turn)
        yield from self._known()
        yield self._absent()

    def _dated(self, turn: LifeTurn) -> Iterator[Ask]:
        same_day = [one for one in self._told if one.time.date() == turn.time.date()]
        alone = sum((one.beat.kind, one.beat.key) == (turn.beat.kind, turn.beat.key) for one in same_day) == 1
        if turn.beat.kind == "event" and alone:
            yield self._of("event", turn, world().places, dated=True)
        elif turn.beat.kind == "preference" and alone:
            if self._current["preference", turn.beat.key] is not turn:
                yield self._of("evolution", turn, self._slot(turn), dated=True)
        elif turn.beat.picture:
            yield from self._seen(turn, same_day)

    def _seen(self, turn: LifeTurn, same_day: Sequence[LifeTurn]) -> Iterator[Ask]:
        beat, picture = turn.beat, turn.beat.picture
        assert picture is not None
        shown = [(one.beat.more.get("thing"), one.beat.value) for one in same_day]
        if shown.count((picture.thing, beat.value)) == 1:
            asked = self._of("colour", turn, tuple(world().colours), gold=picture.colour, dated=True)
            yield asked.model_copy(update={"needs": ((beat.key, beat.value),)})
        again = picture.model_copy(update={"seed": picture.seed + 1})  # the same thing in another photo
        yield self._of("concept", turn, world().origins).model_copy(update={"picture": again})

    def _person(self, turn: LifeTurn) -> Iterator[Ask]:
        name = turn.beat.key
        met = next(one for one in self._told if one.beat.kind == "person" and one.beat.key == name)
        relation, town = met.beat.more["relation"], met.beat.more["town"]
        yield self._of("relation", met, world().relations, gold=relation)
        yield self._of("tone", turn, world().tones)
        tones = [one.beat.value for (matter, _), one in self._current.items() if matter == "relationship"]
        if turn is not met and tones.count(turn.beat.value) == 1:
            text = filled(self._rng.choice(world().questions["hop"]), turn.beat, relation=relation)
            yield self._ask(
                "hop", text, town, ((name, turn.beat.value), (name, town)), (met.id, turn.id), world().towns
            ).model_copy(update={"keywords": (relation, turn.beat.value), "then": (name, "lives in")})

    def _known(self) -> Iterator[Ask]:
        """What is always in the prompt: core memory and traits."""
        persona, first = self._persona, self._told[0]
        facts = ((persona.job, world().jobs), (persona.home, world().homes), (persona.name, world().names))
        for text, (gold, rivals) in zip(world().questions["style"], facts, strict=True):
            yield self._ask("style", text, gold, ((gold,),), (first.id,), rivals)
        levels = persona.traits_in(self._told[-1].session)
        for trait, level in zip(TRAITS, levels, strict=True):
            if level in (1, 5):
                replies = world().tailored[trait]
                best, other = (replies.high, replies.low) if level == 5 else (replies.low, replies.high)
                text = self._rng.choice(world().questions["tailored"])
                yield self._ask("tailored", text, best, (), (), (other,)).model_copy(update={"trait": trait})

    def _absent(self) -> Ask:
        missing = self._rng.choice(world().missing)
        text = world().questions["absent"][0].format(missing=missing)
        asked = self._ask("absent", text, NOT_TOLD, (), (), ())
        return asked.model_copy(update={"keywords": (missing,)})

    def _of(
        self, kind: str, turn: LifeTurn, rivals: Sequence[str], *, gold: str = "", dated: bool = False
    ) -> Ask:
        """A question about one turn; its answer is the turn's value where no other word is."""
        gold = gold or turn.beat.value
        then = _spoken(turn.time, self._now)
        text = filled(self._rng.choice(world().questions[kind]), turn.beat, then=then)
        needs = ((turn.beat.key, gold),)
        asked = self._ask(kind, text[:1].upper() + text[1:], gold, needs, (turn.id,), rivals)
        subject = turn.beat.more["thing"] if kind == "colour" else turn.beat.key
        favourite = ("favourite",) if turn.beat.kind == "preference" else ()
        window = _day(turn.time) if dated else None
        return asked.model_copy(update={"keywords": (subject, *favourite), "window": window})

    def _ask(
        self, kind: str, text: str, gold: str, needs: Groups, evidence: tuple[str, ...], rivals: Sequence[str]
    ) -> Ask:
        others = tuple(one for one in rivals if one != gold)
        return Ask(
            id="",
            kind=kind,
            time=self._now,
            text=text,
            gold=gold,
            needs=needs,
            evidence=evidence,
            rivals=others,
        )

    def _slot(self, turn: LifeTurn) -> Sequence[str]:
        return world().slots[turn.beat.key]

    def _rivals(self, matter: str, turn: LifeTurn) -> Sequence[str]:
        if matter == "habit":
            return [habit.activity for habit in world().habits]
        if matter == "plan":
            return [reason for plan in world().plans for reason in plan.reason]
        return [step for goal in world().goals for step in goal.steps]

    @staticmethod
    def _matter(turn: LifeTurn) -> str:
        return "relationship" if turn.beat.kind in ("person", "tone") else turn.beat.kind


def with_form(ask: Ask, id: str, time: datetime, forms: QuestionForms, rng: Random) -> Ask:
    """The question as it is asked: with four options, with two, or with none."""
    shares = (forms.choice, forms.binary, forms.open)
    others = {"choice": 3, "binary": 1, "open": 0}[rng.choices(("choice", "binary", "open"), shares)[0]]
    if ask.kind in ("recommendation", "tailored"):
        others = max(others, 1)
    others = 0 if ask.kind == "absent" else min(others, len(ask.rivals))
    options = [ask.gold, *rng.sample(ask.rivals, others)] if others else []
    rng.shuffle(options)
    return ask.model_copy(update={"id": id, "time": time, "options": tuple(options)})


def _day(time: datetime) -> tuple[datetime, datetime]:
    start = time.replace(hour=0, minute=0, second=0, microsecond=0)
    return start, start + timedelta(days=1, minutes=-1)


def _spoken(then: datetime, now: datetime) -> str:
    days = (now.date() - then.date()).days
    if days < 2:
        return "yesterday" if days else "earlier today"
    return f"last {then:%A}" if days < 7 else f"on {then:%-d %B}"
