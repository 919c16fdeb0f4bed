"""A language model as judge: two questions to it, each answered by a number from 0 to 10."""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path
from typing import Any

from personavlm.jobs.rewards.base import Episode, JudgeError, Verdict
from personavlm.jobs.rewards.config import JudgeConfig
from personavlm.platform.engines.base import Conversation, Engine, Sampling, Segment, complete
from personavlm.platform.errors import EngineError

TEMPLATES = Path(__file__).parent / "templates"
BEST = 10
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"score": {"type": "integer", "minimum": 0, "maximum": BEST}},
    "required": ["score"],
    "additionalProperties": False,
}


class EngineJudge:
    """Asks any engine. What is judged stands between marks that nobody could have guessed."""

    def __init__(self, engine: Engine, config: JudgeConfig) -> None:
        self._engine = engine
        self._sampling = Sampling(
            max_tokens=config.max_tokens, temperature=config.temperature, json_schema=SCHEMA
        )
        self._accuracy, self._consistency = (
            (TEMPLATES / f"{name}.txt").read_text(encoding="utf-8") for name in ("accuracy", "consistency")
        )

    async def judge(self, episode: Episode) -> Verdict:
        """Both scores, a tenth for each point. Of a question with options the letter decides."""
        question, outcome = episode.question, episode.outcome
        thought = outcome.steps[-1].thinking
        asked = {"question": question.message.text, "answer": outcome.answer}
        consistency = self._score(self._consistency, asked | {"thought": thought})
        if question.options:
            return Verdict(float(names_option(outcome.answer, question.gold)), await consistency)
        accuracy = self._score(self._accuracy, asked | {"reference": question.gold})
        return Verdict(*await asyncio.gather(accuracy, consistency))

    async def _score(self, template: str, data: dict[str, str]) -> float:
        prompt = delimited(template, data)
        try:
            reply = await complete(self._engine, Conversation([Segment("user", prompt)]), self._sampling)
        except EngineError as error:
            raise JudgeError(f"the judge cannot be asked: {error}") from error
        return read_score(reply.text) / BEST


def delimited(template: str, data: dict[str, str]) -> str:
    """The template, then each text between two lines that hold a mark drawn anew."""
    mark = secrets.token_hex(8)
    blocks = [f"[{name} {mark}]\n{text}\n[end of {name} {mark}]" for name, text in data.items()]
    return "\n\n".join([template.strip(), *blocks])


def read_score(text: str) -> int:
    """The score in a reply that is one JSON object and nothing else. Raises `JudgeError`."""
    try:
        reply = json.loads(text)
    except ValueError as error:
        raise JudgeError("the judge's reply is no JSON") from error
    score = reply.get("score") if isinstance(reply, dict) else None
    if type(score) is not int or not 0 <= score <= BEST:
        raise JudgeError(f"the judge's reply holds no whole score from 0 to {BEST}")
    return score


def names_option(answer: str, gold: str) -> bool:
    """Whether an answer begins with the right letter: ``b``, ``(b)`` or ``b)``, nothing but space after it
    or a word."""
    letter = gold.strip("() ").lower()
    head = answer.strip().lower().lstrip("(")
    return head[:1] == letter and not head[1:2].isalnum()
