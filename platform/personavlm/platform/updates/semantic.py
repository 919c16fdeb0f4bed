"""The semantic step of a turn: what it tells that is worth knowing later, and what that replaces."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from personavlm.memory_store.queries import AsOf, SearchRequest
from personavlm.memory_store.records import AnyMemory, MemoryKind, SemanticMemory, Turn, UserKey
from personavlm.platform.updates.applying import Read, apply_proposals
from personavlm.platform.updates.asking import Asker, Question
from personavlm.platform.updates.cropping import Cropper
from personavlm.platform.updates.operations import read_operations
from personavlm.platform.updates.schemas import operations_schema
from personavlm.platform.updates.settings import UpdateSettings
from personavlm.platform.updates.view import core_rows, memory_rows, shown, turn_rows, zone_of

MAX_TOKENS = 768
RELATED_IMAGES = 2  # memories of things that look like what the turn shows


async def extract_semantic(
    asker: Asker, settings: UpdateSettings, user: UserKey, turn: Turn, earlier: Sequence[Turn]
) -> None:
    """Add, supersede, update or delete semantic memories because of one turn. Raises `EngineError`."""
    store = asker.store
    core = await asyncio.to_thread(store.memories, user, MemoryKind.CORE)
    related = await asyncio.to_thread(_related, asker, settings, user, turn)
    view = shown((*earlier, turn), related)
    question = Question(
        "semantic",
        {
            "core": core_rows(core),
            "related": memory_rows(view, zone_of(turn)),
            "earlier": turn_rows(view, settings.context_chars)[:-1],
            "turn": turn_rows(view, settings.message_chars)[-1:],
            "limit": settings.max_operations,
        },
        operations_schema(MemoryKind.SEMANTIC, view, settings.max_operations),
        MAX_TOKENS,
        turn.images,
    )
    read = await asker.ask(user, question, lambda text: _first(read_operations(text), settings))
    if read:
        cut = Cropper(store, user, asker.detector).crop
        await asyncio.to_thread(
            apply_proposals, store, user, MemoryKind.SEMANTIC, f"turn:{turn.id}", read, view, turn, cut
        )


def _related(asker: Asker, settings: UpdateSettings, user: UserKey, turn: Turn) -> list[AnyMemory]:
    """Memories about the same, as the user's timeline knew them at the turn.

    The reading as of then makes a step that is repeated after a crash see what it saw before, and keeps
    a turn that is imported late from superseding what is newer than itself.
    """
    request = SearchRequest(
        keywords="",
        query=turn.user_text[: settings.message_chars],
        image_sha256=tuple(image.sha256 for image in turn.images),
        k_semantic=settings.related_memories,
        k_visual=RELATED_IMAGES,
        k_episodic=0,
        k_procedural=0,
        k_turns=0,
        as_of=AsOf(turn.event_time),
    )
    found = asker.store.search(user, request)
    memories = {hit.item.id: hit.item for hit in (*found.semantic, *found.visual)}
    return [
        memory for memory in memories.values() if isinstance(memory, SemanticMemory) and not memory.valid_to
    ]


def _first(read: Read, settings: UpdateSettings) -> Read:
    """No more operations than one turn can be worth."""
    proposals, dropped = read
    excess = len(proposals) - settings.max_operations
    if excess <= 0:
        return read
    return proposals[: settings.max_operations], [*dropped, f"{excess} operations beyond the limit"]
