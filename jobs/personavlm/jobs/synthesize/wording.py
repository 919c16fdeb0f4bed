"""From a plan to a life in words."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Protocol

from personavlm.jobs.synthesize.life import Life, LifeTurn, Plan, PlannedTurn
from personavlm.jobs.synthesize.world import written


class Writer(Protocol):
    """Words what somebody tells."""

    async def write(self, plan: Plan) -> Life:
        """The life of a plan. Raises `EngineError`."""
        ...


class WorldWriter:
    """Sentences of the world without a model; the same for the same plan."""

    async def write(self, plan: Plan) -> Life:
        """Every turn from a template."""
        rng = Random(f"words {plan.persona.user}")
        texts = [written(turn.beat, rng) for turn in plan.turns()]
        return in_words(plan, texts)


def in_words(plan: Plan, texts: list[tuple[str, str]], corrected: int = 0) -> Life:
    """A life from what the user and the assistant say in each turn."""
    turns = tuple(
        LifeTurn(
            id=f"turn-{number:04d}",
            session=session,
            time=turn.time,
            beat=turn.beat,
            user_text=user,
            assistant_text=assistant,
        )
        for number, ((session, turn), (user, assistant)) in enumerate(
            zip(_numbered(plan), texts, strict=True)
        )
    )
    return Life(persona=plan.persona, turns=turns, corrected=corrected)


def _numbered(plan: Plan) -> Iterator[tuple[int, PlannedTurn]]:
    return ((number, turn) for number, session in enumerate(plan.sessions) for turn in session)
