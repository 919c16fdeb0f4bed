"""Dialogues in a model's words: written, checked by rules, reviewed by the model, and written again."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from personavlm.jobs.synthesize.checks import turn_problems
from personavlm.jobs.synthesize.life import Life, LifeTurn, Persona, Plan
from personavlm.jobs.synthesize.wording import WorldWriter, in_words
from personavlm.platform.engines.base import Conversation, Engine, Sampling, Segment, complete
from personavlm.platform.errors import EngineError
from personavlm.platform.updates.operations import MalformedOutput, read_object

MAX_TOKENS = 4096
TEMPERATURE = 0.8  # of first drafts; what is written again is written without chance
WRITE = """You write a conversation between a user and their personal assistant.

The user: {persona}
When: {when}

Write one exchange for each line below, in this order. Each says what the user tells in it. Keep every name,
number, place and quoted word of the line; word the rest as this user would, in one to three sentences. What
stands in brackets is to be felt, never quoted. The assistant answers briefly and without new facts.

{lines}

Answer with one JSON object and nothing else: {{"turns": [{{"user": "…", "assistant": "…"}}, …]}}"""
REVIEW = """Review the conversation that you wrote. Is every exchange safe, coherent, natural, and true to its
line? Answer with one JSON object and nothing else: {"problems": []}, or one sentence for each problem."""
AGAIN = "Write all exchanges again as the same JSON object, without these problems: {problems}"
_SPACE = re.compile(r"\s+")
Texts = list[tuple[str, str]]


class ModelWriter:
    """Lets an engine word each session of a plan. A session that stays wrong keeps the world's own words."""

    def __init__(self, engine: Engine, corrections: int) -> None:
        self._engine, self._corrections = engine, corrections

    async def write(self, plan: Plan) -> Life:
        """The life of a plan. Raises `EngineError`."""
        plain = await WorldWriter().write(plan)
        texts: Texts = []
        corrected = 0
        for told in plain.sessions():
            written, times = await self._session(plan.persona, told)
            texts += written
            corrected += times
        return in_words(plan, texts, corrected)

    async def _session(self, persona: Persona, plain: Sequence[LifeTurn]) -> tuple[Texts, int]:
        """The session's texts, and how often they were written again."""
        conversation = Conversation([Segment("user", _task(persona, plain))])
        text = await self._said(conversation, TEMPERATURE)
        for attempt in range(self._corrections + 1):
            texts, problems = _read(text, plain)
            problems = problems or await self._review(conversation)
            if not problems:
                return texts, attempt
            if attempt < self._corrections:
                conversation.append(Segment("user", AGAIN.format(problems=" ".join(problems))))
                text = await self._said(conversation, 0.0)
        return [(turn.user_text, turn.assistant_text) for turn in plain], self._corrections

    async def _review(self, conversation: Conversation) -> list[str]:
        """What the model finds wrong itself; nothing where its review cannot be read."""
        copy = Conversation([*conversation.segments, Segment("user", REVIEW)])
        try:
            found = read_object(await self._said(copy, 0.0), "problems")["problems"]
        except MalformedOutput:
            return []
        return [str(problem) for problem in found] if isinstance(found, list) else []

    async def _said(self, conversation: Conversation, temperature: float) -> str:
        sampling = Sampling(max_tokens=MAX_TOKENS, temperature=temperature)
        completion = await complete(self._engine, conversation, sampling)
        if completion.finish_reason == "length":
            raise EngineError(f"a session takes more than {MAX_TOKENS} tokens; use fewer turns")
        conversation.append(Segment("assistant", completion.text))
        return completion.text


def _task(persona: Persona, plain: Sequence[LifeTurn]) -> str:
    lines = [f"{number}. {turn.user_text}{_trait(turn)}" for number, turn in enumerate(plain, 1)]
    when = f"{plain[0].time:%A %-d %B %Y, %H:%M}"
    return WRITE.format(persona=persona.description, when=when, lines="\n".join(lines))


def _trait(turn: LifeTurn) -> str:
    shown = "; shows a photo of it" if turn.beat.picture else ""
    return f" [{json.dumps(turn.beat.aside)}{shown}]" if turn.beat.aside or shown else ""


def _read(text: str, plain: Sequence[LifeTurn]) -> tuple[Texts, list[str]]:
    """The texts of a model's answer, and what is wrong with them."""
    try:
        listed = read_object(text, "turns")["turns"]
        texts = [(_clean(turn["user"]), _clean(turn["assistant"])) for turn in listed]
    except (MalformedOutput, KeyError, TypeError, AttributeError):
        return [], ['Write {"turns": [{"user": …, "assistant": …}, …]}.']
    if len(texts) != len(plain):
        return [], [f"There must be {len(plain)} exchanges, not {len(texts)}."]
    turns = [
        turn.model_copy(update={"user_text": user, "assistant_text": assistant})
        for turn, (user, assistant) in zip(plain, texts, strict=True)
    ]
    return texts, [f"{problem}." for turn in turns for problem in turn_problems(turn)]


def _clean(text: str) -> str:
    return _SPACE.sub(" ", text).strip()
