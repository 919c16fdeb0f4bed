"""Rules that synthetic lives and conversations must keep; what breaks one is written again or left out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from functools import cache
from itertools import pairwise

from personavlm.jobs.synthesize.asks import Ask
from personavlm.jobs.synthesize.life import Life, LifeTurn
from personavlm.jobs.synthesize.recorder import Exchange
from personavlm.jobs.synthesize.world import world
from personavlm.platform.agent.grammar import Answer, Retrieve, parse
from personavlm.platform.engines.base import Segment
from personavlm.platform.prompts.render import read_rows, read_task

SESSION_GAP = timedelta(minutes=60)
_NUMBER = re.compile(r"\d+")
_WORD = re.compile(r"\w+")


def life_problems(life: Life, image_share: float) -> list[str]:
    """What is wrong with a life: times, sessions, repeated or missing words, too few images."""
    problems = [*_time_problems(life.turns), *_repeats(life.turns)]
    problems += (problem for turn in life.turns for problem in turn_problems(turn))
    shown = sum(turn.beat.picture is not None for turn in life.turns)
    if shown < image_share * len(life.turns):
        problems.append(f"{shown} of {len(life.turns)} turns show an image; {image_share:.0%} are asked for")
    return problems


def turn_problems(turn: LifeTurn) -> Iterator[str]:
    """A turn must say what it was planned to say, and be answered."""
    beat = turn.beat
    needed = [beat.value] if beat.kind != "mood" else []
    needed += [beat.more["town"], beat.more["relation"]] if beat.kind == "person" else []
    for words in needed:
        if words.casefold() not in turn.user_text.casefold():
            yield f"{turn.id}: the user does not say {words!r}"
    for speaker, text in (("user", turn.user_text), ("assistant", turn.assistant_text)):
        if not text.strip():
            yield f"{turn.id}: the {speaker} says nothing"


def ask_problems(ask: Ask, turns: Sequence[LifeTurn]) -> Iterator[str]:
    """The evidence of a question must exist, and be older than it."""
    times = {turn.id: turn.time for turn in turns}
    for id in ask.evidence:
        if id not in times:
            yield f"{ask.id}: its evidence {id} is no turn"
        elif times[id] >= ask.time:
            yield f"{ask.id}: its evidence {id} is not older than the question"


def exchange_problems(exchange: Exchange) -> Iterator[str]:
    """An answer of the update stage must name what was shown, and topics must cover their session."""
    prompt, answer = exchange.segments[0].text, exchange.segments[-1].text
    task, rows = read_task(prompt), read_rows(prompt)
    if task == "personality":
        return
    shown = {row["id"] for name in ("turn", "turns", "earlier") for row in rows.get(name, ())}
    named = [id for operation in json.loads(answer)["operations"] for id in operation["evidence"]]
    for id in sorted(set(named) - shown):
        yield f"{task}: names turn {id}, which was not shown"
    if task == "episodic":
        for id in sorted(shown - set(named)):
            yield f"{task}: no topic holds turn {id}"


def reply_problems(segments: Sequence[Segment]) -> Iterator[str]:
    """Replies must keep the grammar, and tell nothing that was not shown before."""
    shown = ""
    for segment in segments:
        if segment.role != "assistant":
            shown += "\n" + segment.text
            continue
        step = parse(segment.text)
        if step.repaired:
            yield f"a step breaks the grammar: {step.repaired}"
        if isinstance(step.action, Retrieve):
            continue  # a guess is no claim
        if leaked := unseen(f"{step.thinking} {step.action.text}", shown):
            yield f"the answer tells what was not shown: {', '.join(leaked)}"
    if not isinstance(parse(segments[-1].text).action, Answer):
        yield "the conversation ends without an answer"


def unseen(said: str, shown: str) -> list[str]:
    """Numbers and things of the world that are said, but were not shown."""
    numbers = set(_NUMBER.findall(said)) - set(_NUMBER.findall(shown))
    facts = {fact for fact in _facts_in(said) if fact not in shown.casefold()}
    return sorted(numbers | facts)


def _facts_in(text: str) -> Iterator[str]:
    words = set(_WORD.findall(text.casefold()))
    for fact, parts in _facts():
        if parts <= words and fact in text.casefold():
            yield fact


@cache
def _facts() -> tuple[tuple[str, frozenset[str]], ...]:
    """Everything that a life can tell of, by its words; single common words tell nothing by themselves."""
    w = world()
    listed: Iterable[str] = (
        *w.friends, *w.towns, *w.homes, *w.places, *w.origins,
        *(value for values in w.slots.values() for value in values),
        *(step for goal in w.goals for step in goal.steps),
        *(reason for plan in w.plans for reason in plan.reason),
        *(habit.activity for habit in w.habits),
    )  # fmt: skip
    return tuple((one.casefold(), frozenset(_WORD.findall(one.casefold()))) for one in sorted(set(listed)))


def _time_problems(turns: Sequence[LifeTurn]) -> Iterator[str]:
    for before, after in pairwise(turns):
        pause = after.time - before.time
        if pause <= timedelta(0):
            yield f"{after.id}: is not later than {before.id}"
        elif (pause >= SESSION_GAP) != (after.session != before.session):
            yield f"{after.id}: sessions are not divided by pauses of an hour"


def _repeats(turns: Sequence[LifeTurn]) -> Iterator[str]:
    seen: dict[str, str] = {}
    for turn in turns:
        if turn.beat.kind != "mood" and (first := seen.setdefault(turn.user_text, turn.id)) != turn.id:
            yield f"{turn.id}: repeats the words of {first}"
