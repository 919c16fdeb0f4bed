"""The personality step of a turn: the model scores it, PEM blends the scores into the profile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from personavlm.memory_store.records import TRAITS, MemoryKind, Profile, Turn, UserKey
from personavlm.platform.updates.asking import Asker, Question
from personavlm.platform.updates.operations import read_scores
from personavlm.platform.updates.pem import blend, smoothing
from personavlm.platform.updates.schemas import scores_schema
from personavlm.platform.updates.settings import UpdateSettings
from personavlm.platform.updates.view import core_rows, shown, turn_rows

MAX_TOKENS = 128


async def infer_personality(
    asker: Asker, settings: UpdateSettings, user: UserKey, turn: Turn, earlier: Sequence[Turn]
) -> None:
    """Move the profile by one turn, unless the user withdrew consent. Raises `EngineError`."""
    store = asker.store
    profile = await asyncio.to_thread(store.profile, user)
    if not profile.consent:
        return
    core = await asyncio.to_thread(store.memories, user, MemoryKind.CORE)
    view = shown((*earlier, turn), ())
    question = Question(
        "personality",
        {
            "core": core_rows(core),
            "earlier": turn_rows(view, settings.context_chars)[:-1],
            "turn": turn_rows(view, settings.message_chars)[-1:],
        },
        scores_schema(),
        MAX_TOKENS,
        turn.images,
    )
    scores = await asker.ask(user, question, lambda text: read_scores(text, TRAITS))
    if scores is not None:
        await asyncio.to_thread(_move, asker, settings, user, turn, scores)


def _move(asker: Asker, settings: UpdateSettings, user: UserKey, turn: Turn, scores: tuple[int, ...]) -> None:
    """Blend and save. The profile is read again: it may have been reset while the model was at work."""
    profile = asker.store.profile(user)
    traits = blend(profile.traits, scores, turn.index, settings.personality_rule)
    if traits is None or not profile.consent:
        return
    asker.store.save_profile(
        user,
        Profile(
            version=profile.version,  # the store counts on from it
            traits=traits,
            cause="inferred",
            inferred=scores,
            smoothing=smoothing(turn.index),
            evidence=(turn.id,),
            source=f"turn:{turn.id}",
            event_time=turn.event_time,
            recorded_at=turn.recorded_at,  # and sets this
        ),
    )
