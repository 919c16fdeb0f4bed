"""What is left out first where a conversation is longer than the engine's context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from personavlm.memory_store.queries import Context, Hit, SearchResult


def shorter_context(context: Context) -> Context | None:
    """Without the oldest quarter of the session's turns, at least one; ``None`` where none is left.

    They stay in memory, and a search finds them.
    """
    turns = context.open_session
    if not turns:
        return None
    dropped = max(1, len(turns) // 4)
    return replace(context, open_session=turns[dropped:], omitted_turns=context.omitted_turns + dropped)


def shorter_result(result: SearchResult) -> SearchResult | None:
    """Without the weaker half of each kind; ``None`` where nothing is left."""
    if not result.ids():
        return None
    return replace(
        result,
        semantic=_stronger_half(result.semantic),
        episodic=_stronger_half(result.episodic),
        procedural=_stronger_half(result.procedural),
        visual=_stronger_half(result.visual),
        turns=_stronger_half(result.turns),
    )


def _stronger_half(hits: Sequence[Hit]) -> tuple[Hit, ...]:
    """Half of the hits, rounded down, in the order in which they were."""
    kept = sorted(hits, key=lambda hit: -hit.score)[: len(hits) // 2]
    return tuple(hit for hit in hits if hit in kept)
