"""Questions about personas, with what answers them. Kinds are named as the method's fourteen tasks.

| kind | asks for | found in |
|---|---|---|
| SIR, LPR | a preference that never changed; the newest of several | semantic memory |
| IEA | a preference as it was in a month | semantic memory, within a time window |
| IIR, GNS | what fits a hint; a gift | semantic memory |
| IPR | what helps in a mood | episodic memory |
| BPR, LGT | a habit; the newest goal | procedural memory |
| RR, RDC | who somebody is; how close one is to him now | semantic, episodic memory |
| MH | what a relative likes, in two searches | semantic, then episodic memory |
| VDR, VCR | how a thing looks; which thing an image shows | visual concepts |
| EII, PA, TED | what was just said; a style that fits a trait; one that fits a level | the prompt itself |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Literal

from personavlm.jobs.gym.personas import ASKED_AT, WANTED_AT, Dated, Persona, Shape
from personavlm.jobs.gym.words import (
    ACTIVITIES,
    COLOURS,
    CUES,
    FORMS,
    GOALS,
    LETTERS,
    LEVELS,
    MONTHS,
    OBJECTS,
    RELATIONS,
    SLOTS,
    STYLES,
    TONES,
)

Kind = Literal[
    "SIR", "LPR", "IEA", "IIR", "GNS", "IPR", "BPR", "LGT", "RR", "RDC", "MH", "VDR", "VCR", "EII", "PA",
    "TED",
]  # fmt: skip
Form = Literal["open", "four", "two"]
TEXT_KINDS: tuple[Kind, ...] = ("SIR", "LPR", "IEA", "IIR", "EII", "PA")
"""The six with which a policy is first taught."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One search: the thought before it, what to search for, the fact that it must bring, the month meant.

    ``proof`` is that fact's text.
    """

    thought: str
    keywords: str
    fact: int
    month: int | None = None
    proof: str = ""


@dataclass(frozen=True, slots=True)
class GymQuestion:
    """A question with all that a teacher and a judge need.

    ``conclusion`` is the last thought, which ends with ``value``. With ``options`` the answer is a letter.
    """

    kind: Kind
    text: str
    value: str
    conclusion: str
    pool: tuple[str, ...]
    hops: tuple[Hop, ...] = ()
    options: tuple[str, ...] = ()
    shape: Shape | None = None
    now: datetime = ASKED_AT

    @property
    def answer(self) -> str:
        """What is right."""
        return self.answer_for(self.value)

    @property
    def facts(self) -> tuple[int, ...]:
        """Numbers of the facts that prove the answer; none where the prompt does."""
        return tuple(hop.fact for hop in self.hops)

    def answer_for(self, value: str) -> str:
        """How one answers with this value, which is one of the options if there are any."""
        return LETTERS[self.options.index(value)] if self.options else value


def draw_question(
    persona: Persona, kind: Kind, random: Random, *, choice_share: float = 0.0, images: bool = False
) -> GymQuestion | None:
    """A question of this kind; ``None`` where the persona has nothing to ask for.

    ``choice_share`` of the questions that could be open get options, two thirds of them four.
    """
    question = _ASKERS[kind](persona, random)
    if question is None:
        return None
    hops = tuple(replace(hop, proof=persona.facts[hop.fact].text) for hop in question.hops)
    question = replace(question, hops=hops)
    if question.shape and not images:
        shape = question.shape
        question = replace(question, text=f"{shape.colour} {shape.form} {question.text}", shape=None)
    form = _FIXED.get(kind, "open")
    if form == "open" and kind not in _ALWAYS_OPEN and random.random() < choice_share:
        form = random.choice(("four", "four", "two"))
    return question if form == "open" else _with_options(question, 4 if form == "four" else 2, random)


_FIXED: Mapping[Kind, Form] = {"GNS": "four", "PA": "two", "TED": "two"}
_ALWAYS_OPEN = frozenset(("RDC",))  # of two tones there is nothing to choose from


def _with_options(question: GymQuestion, count: int, random: Random) -> GymQuestion:
    others = [value for value in question.pool if value != question.value]
    options = [*random.sample(others, count - 1), question.value]
    random.shuffle(options)
    shown = " ".join(f"{letter} {option}" for letter, option in zip(LETTERS, options, strict=False))
    return replace(question, text=f"{question.text} options {shown}", options=tuple(options))


def _preference(kind: Kind, slot: str, dated: Dated, text: str, month: int | None = None) -> GymQuestion:
    need = f"need me {slot}" if month is None else f"need me {slot} in {MONTHS[month]}"
    return GymQuestion(
        kind,
        text,
        dated.value,
        f"{slot} {dated.value}",
        SLOTS[slot],
        (Hop(need, f"me {slot}", dated.fact, month),),
    )


def _slot(persona: Persona, random: Random, changed: bool | None) -> str | None:
    slots = [
        slot
        for slot, course in persona.preferences.items()
        if changed is None or (len(course) > 1) == changed
    ]
    return random.choice(slots) if slots else None


def _ask_preference(kind: Kind, changed: bool | None, texts: Sequence[str]) -> Asker:
    def ask(persona: Persona, random: Random) -> GymQuestion | None:
        slot = _slot(persona, random, changed)
        if slot is None:
            return None
        text = random.choice(texts).format(slot=slot, cue=random.choice(CUES[slot]))
        return _preference(kind, slot, persona.preferences[slot][-1], text)

    return ask


def _ask_month(persona: Persona, random: Random) -> GymQuestion | None:
    slot = _slot(persona, random, changed=True)
    if slot is None:
        return None
    dated = random.choice(persona.preferences[slot])
    texts = ("what was my favourite {} in {} ?", "which {} was my favourite in {} ?")
    text = random.choice(texts).format(slot, MONTHS[dated.month])
    return _preference("IEA", slot, dated, text, dated.month)


def _ask_mood(persona: Persona, random: Random) -> GymQuestion:
    mood = random.choice(list(persona.moods))
    slot, dated = persona.moods[mood]
    text = random.choice(("i feel {} . which {} ?", "i am {} . what {} should i pick ?")).format(mood, slot)
    hop = Hop(f"need {mood} {slot}", f"{mood} {slot}", dated.fact)
    return GymQuestion("IPR", text, dated.value, f"{slot} {dated.value}", SLOTS[slot], (hop,))


def _ask_habit(persona: Persona, random: Random) -> GymQuestion:
    day = random.choice(list(persona.habits))
    dated = persona.habits[day]
    text = random.choice(("what do i do on {} ?", "today is {} . what now ?")).format(day)
    hop = Hop(f"need habit {day}", f"habit {day}", dated.fact)
    return GymQuestion("BPR", text, dated.value, f"{day} {dated.value}", ACTIVITIES, (hop,))


def _ask_goal(persona: Persona, random: Random) -> GymQuestion:
    dated = persona.goals[-1]
    text = random.choice(("what is my goal ?", "tell me my goal now ?"))
    hop = Hop("need goal", "goal", dated.fact)
    return GymQuestion("LGT", text, dated.value, f"goal {dated.value}", GOALS, (hop,))


def _ask_relation(persona: Persona, random: Random) -> GymQuestion:
    name = random.choice(list(persona.people))
    dated = persona.people[name].relation
    hop = Hop(f"need {name} my", f"{name} my", dated.fact)
    return GymQuestion("RR", f"who is {name} ?", dated.value, f"{name} {dated.value}", RELATIONS, (hop,))


def _ask_tone(persona: Persona, random: Random) -> GymQuestion:
    name = random.choice(list(persona.people))
    dated = persona.people[name].tones[-1]
    hop = Hop(f"need {name} tone", f"{name} tone", dated.fact)
    text = f"how are {name} and i now ?"
    return GymQuestion("RDC", text, dated.value, f"{name} {dated.value}", TONES, (hop,))


def _ask_relative(persona: Persona, random: Random) -> GymQuestion:
    name = random.choice(list(persona.people))
    person = persona.people[name]
    relation, slot = person.relation.value, person.slot
    texts = ("which {slot} does my {relation} like ?", "gift for my {relation} . what {slot} ?")
    hops = (
        Hop(f"need my {relation}", f"my {relation}", person.relation.fact),
        Hop(f"{name} {relation} need {name} {slot}", f"{name} {slot}", person.taste.fact),
    )
    text = random.choice(texts).format(slot=slot, relation=relation)
    return GymQuestion("MH", text, person.taste.value, f"{slot} {person.taste.value}", SLOTS[slot], hops)


def _ask_look(persona: Persona, random: Random) -> GymQuestion:
    name = random.choice(list(persona.objects))
    shape, fact = persona.objects[name]
    asked, value, pool = random.choice((("colour", shape.colour, COLOURS), ("form", shape.form, FORMS)))
    hop = Hop(f"need visual {name}", f"visual {name}", fact)
    return GymQuestion("VDR", f"what {asked} is my {name} ?", value, f"{name} {value}", pool, (hop,))


def _ask_thing(persona: Persona, random: Random) -> GymQuestion:
    name = random.choice(list(persona.objects))
    shape, fact = persona.objects[name]
    look = f"{shape.colour} {shape.form}"
    hop = Hop(f"look {look}", f"visual {look}", fact)
    return GymQuestion("VCR", "what is this ?", name, f"{look} {name}", OBJECTS, (hop,), shape=shape)


def _ask_wanted(persona: Persona, random: Random) -> GymQuestion:
    slot, value = persona.wants
    text = random.choice(("what {} do i want now ?", "which {} is it i want ?")).format(slot)
    now = WANTED_AT + timedelta(minutes=10)
    return GymQuestion("EII", text, value, f"context {value}", SLOTS[slot], now=now)


def _ask_style(persona: Persona, random: Random) -> GymQuestion:
    trait = random.choice(list(STYLES))
    high = persona.traits[trait]
    value = STYLES[trait][0 if high else 1]
    conclusion = f"{trait} {'high' if high else 'low'} {value}"
    return GymQuestion("PA", f"which reply style do i like ? about {trait}", value, conclusion, STYLES[trait])


def _ask_level(persona: Persona, random: Random) -> GymQuestion:
    value = LEVELS[persona.level]
    conclusion = f"level {persona.level} {value}"
    return GymQuestion("TED", "explain this for me ? which style", value, conclusion, tuple(LEVELS.values()))


Asker = Callable[[Persona, Random], GymQuestion | None]
_FAVOURITE = ("what is my favourite {slot} ?", "tell me my {slot} now ?", "which {slot} do i like ?")
_ASKERS: Mapping[Kind, Asker] = {
    "SIR": _ask_preference("SIR", False, _FAVOURITE),
    "LPR": _ask_preference("LPR", True, _FAVOURITE),
    "IIR": _ask_preference("IIR", None, ("i am {cue} ?", "{cue} now . what should i pick ?")),
    "GNS": _ask_preference("GNS", None, ("gift for me ? about {slot}",)),
    "IEA": _ask_month,
    "IPR": _ask_mood,
    "BPR": _ask_habit,
    "LGT": _ask_goal,
    "RR": _ask_relation,
    "RDC": _ask_tone,
    "MH": _ask_relative,
    "VDR": _ask_look,
    "VCR": _ask_thing,
    "EII": _ask_wanted,
    "PA": _ask_style,
    "TED": _ask_level,
}
ALL_KINDS: tuple[Kind, ...] = tuple(_ASKERS)
