"""A teacher who answers in the policy's place, through the same agent and with the same ids.

What the teacher writes is one of the two forms of the grammar. Part of the lessons are corrupted, on purpose
and by known shares, so that the policy taught by them has something left to learn from rewards:

* ``skip``: answers without searching, and so by guessing.
* ``broken``: leaves out a tag of the first step.
* ``period``: searches in a wrong month, or in no month where one was meant.

Wrong keywords are no corruption: a search looks at the message as well, and finds what it asks for.
The default is what `Noise` says: three quarters corrupted, four fifths of them by skipping.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from personavlm.jobs.gym.questions import GymQuestion
from personavlm.jobs.gym.words import MONTHS, window_of
from personavlm.platform.engines.base import Chunk, Conversation, Sampling, TokenSpan
from personavlm.platform.engines.chatml import ChatMl
from personavlm.platform.engines.checkpoint import Checkpoint

Corruption = Literal["skip", "broken", "period"]
MEMORIES = "memories"  # the first word of what a search brought
TAGS = ("</think>", "</retrieve>", "<retrieve>")
"""Of which a broken first step lacks one."""


@dataclass(frozen=True, slots=True)
class Noise:
    """``share`` of all lessons is corrupted, by kinds in proportion to their weights."""

    share: float = 0.75
    weights: Mapping[Corruption, float] = field(default_factory=lambda: {"skip": 4, "broken": 1})

    def drawn(self, random: Random) -> Corruption | None:
        """What happens to the next lesson."""
        if random.random() >= self.share:
            return None
        return random.choices(list(self.weights), list(self.weights.values()))[0]


class TeacherEngine:
    """A token engine that answers one question. It looks for the proof among what it was shown."""

    model = "teacher"
    version = "teacher"
    description = "Answers questions of the gym by knowing the answers."

    def __init__(
        self,
        question: GymQuestion,
        checkpoint: Checkpoint,
        random: Random,
        corruption: Corruption | None = None,
    ) -> None:
        self._question, self._random = question, random
        self._checkpoint, self._chat = checkpoint, ChatMl(checkpoint)
        self._corruption = corruption
        self._hops = () if corruption == "skip" else question.hops

    async def stream(self, conversation: Conversation, sampling: Sampling) -> AsyncGenerator[Chunk, None]:
        """The next step of the lesson, whole."""
        step = sum(segment.role == "assistant" for segment in conversation.segments)
        text = self._search(step) if step < len(self._hops) else self._answer(conversation)
        if step == 0 and self._corruption == "broken":
            text = _without(text, self._random)
        rendered = self._chat.continuation(conversation)
        ids = self._checkpoint.tokenizer.encode(text, add_special_tokens=False).ids
        span = TokenSpan((*ids, self._checkpoint.end), True, version=self.version)
        self._chat.accept(conversation, rendered, [span])
        yield Chunk(text, "stop", len(rendered.ids), len(span.ids))

    async def check_health(self) -> None:
        """Nothing that could break."""

    async def close(self) -> None:
        """Nothing to release."""

    def _search(self, step: int) -> str:
        hop = self._hops[step]
        month = hop.month
        if self._corruption == "period":
            month = self._random.randrange(len(MONTHS)) if month is None else None
        return f"<think> {hop.thought} </think> <retrieve> {search_body(hop.keywords, month)} </retrieve>"

    def _answer(self, conversation: Conversation) -> str:
        """The right answer where its proof is at hand, otherwise a guess."""
        question = self._question
        known = all(_shown(conversation, hop.proof) for hop in question.hops)
        value = question.value if known else self._random.choice(question.options or question.pool)
        thought = f"{question.conclusion.rsplit(' ', 1)[0]} {value}"
        answer = question.answer_for(value)
        bound = f" {answer}" if question.options else ""  # the letter beside its value, to be bound to it
        return f"<think> {thought}{bound} </think> <answer> {answer} </answer>"


def search_body(keywords: str, month: int | None) -> str:
    """What stands between the tags of a retrieval, in the tokenizer's words."""
    if month is None:
        return f'{{"keywords":" {keywords} "}}'
    first, last = window_of(month)
    return f'{{"keywords":" {keywords} ","start_time":" {first} ","end_time":" {last} "}}'


def _shown(conversation: Conversation, proof: str) -> bool:
    """Whether memories that were looked up say this."""
    found = (
        " ".join(segment.text.split())
        for segment in conversation.segments
        if segment.role == "user" and segment.text.startswith(MEMORIES)
    )
    return any(f" {proof} " in f"{text} " for text in found)


def _without(text: str, random: Random) -> str:
    tag = random.choice([tag for tag in TAGS if tag in text])
    return text.replace(f"{tag} ", "").replace(f" {tag}", "")
