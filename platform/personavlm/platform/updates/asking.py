"""Ask the model of an update step, and read its answer; once more if it cannot be read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from personavlm.memory_store import MemoryStore
from personavlm.memory_store.records import ImageRef, UserKey
from personavlm.platform.encoders.crops import Detector
from personavlm.platform.engines.base import Conversation, Engine, Sampling, Segment, complete
from personavlm.platform.errors import ContextOverflow
from personavlm.platform.prompts.render import PromptPack
from personavlm.platform.updates.operations import MalformedOutput

log = logging.getLogger(__name__)

ATTEMPTS = 2
UPDATE_PRIORITY = 1  # replies, at 0, go first

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Question:
    """One call of a model: the template, what fills it, and the form of the answer."""

    task: str
    sections: Mapping[str, object]
    schema: Mapping[str, Any]
    max_tokens: int
    images: tuple[ImageRef, ...] = ()


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks one engine on behalf of any user; holds nothing of any of them. ``detector``, where there is one,
    cuts what a memory is about out of the turn's images."""

    store: MemoryStore
    engine: Engine
    prompts: PromptPack
    detector: Detector | None = None

    async def ask(self, user: UserKey, question: Question, read: Callable[[str], Answer]) -> Answer | None:
        """The answer, or ``None`` where the output stays malformed or the prompt is longer than the context.

        Raises `EngineError`.
        """

        async def load_image(ref: ImageRef) -> bytes:
            return await asyncio.to_thread(self.store.image, user, ref.sha256)

        prompt = self.prompts.render(question.task, **question.sections)
        conversation = Conversation([Segment("user", prompt, question.images)], load_image, user)
        sampling = Sampling(
            max_tokens=question.max_tokens, json_schema=question.schema, priority=UPDATE_PRIORITY
        )
        for _ in range(ATTEMPTS):
            try:
                completion = await complete(self.engine, conversation, sampling)
            except ContextOverflow as problem:  # trying again later would not make it shorter
                log.warning("update step %s left out: %s", question.task, problem)
                return None
            try:
                return read(completion.text)
            except MalformedOutput as problem:
                log.warning("update step %s: malformed output: %s", question.task, problem)
                conversation.append(Segment("assistant", completion.text))
                conversation.append(Segment("user", self.prompts.render("malformed", problem=str(problem))))
        return None
