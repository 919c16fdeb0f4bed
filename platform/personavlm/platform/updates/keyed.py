"""The procedural and core steps of a closed session: the two kinds of memory whose entries have keys."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from personavlm.memory_store.records import AnyMemory, CoreMemory, MemoryKind, Turn, UserKey
from personavlm.platform.updates.applying import apply_proposals
from personavlm.platform.updates.asking import Asker, Question
from personavlm.platform.updates.operations import read_operations
from personavlm.platform.updates.schemas import operations_schema
from personavlm.platform.updates.settings import UpdateSettings
from personavlm.platform.updates.view import core_rows, memory_rows, shown, turn_rows, zone_of

log = logging.getLogger(__name__)

MAX_TOKENS = 1024
MAX_OPERATIONS = 12
PROCEDURAL_LIMIT = 5
FEWEST_PREFERENCES, MOST_PREFERENCES = 5, 7


async def revise_procedural(
    asker: Asker, settings: UpdateSettings, user: UserKey, turns: Sequence[Turn], source: str
) -> None:
    """Bring goals, habits and routines up to date with a session. Raises `EngineError`."""
    store = asker.store
    core = await asyncio.to_thread(store.memories, user, MemoryKind.CORE)
    current = await asyncio.to_thread(store.memories, user, MemoryKind.PROCEDURAL)
    sections = {"core": core_rows(core), "limit": PROCEDURAL_LIMIT}
    await _revise(asker, settings, user, MemoryKind.PROCEDURAL, turns, current, source, sections)
    after = await asyncio.to_thread(store.memories, user, MemoryKind.PROCEDURAL)
    if len(after) > PROCEDURAL_LIMIT:
        log.warning("procedural memory has %d entries, %d are asked for", len(after), PROCEDURAL_LIMIT)


async def revise_core(
    asker: Asker, settings: UpdateSettings, user: UserKey, turns: Sequence[Turn], source: str
) -> None:
    """Bring the facts that every prompt holds up to date with a session. Raises `EngineError`."""
    store = asker.store
    current = await asyncio.to_thread(store.memories, user, MemoryKind.CORE)
    sections = {"low": FEWEST_PREFERENCES, "high": MOST_PREFERENCES}
    await _revise(asker, settings, user, MemoryKind.CORE, turns, current, source, sections)
    after = await asyncio.to_thread(store.memories, user, MemoryKind.CORE)
    preferences = sum(isinstance(entry, CoreMemory) and "preference" in entry.key for entry in after)
    if preferences > MOST_PREFERENCES:
        log.warning("core memory has %d preferences, %d are asked for", preferences, MOST_PREFERENCES)


async def _revise(
    asker: Asker,
    settings: UpdateSettings,
    user: UserKey,
    kind: MemoryKind,
    turns: Sequence[Turn],
    current: Sequence[AnyMemory],
    source: str,
    sections: Mapping[str, object],
) -> None:
    view = shown(turns, current)
    rows = {
        kind.value: memory_rows(view, zone_of(turns[-1])),
        "turns": turn_rows(view, settings.context_chars),
    }
    schema = operations_schema(kind, view, MAX_OPERATIONS)
    read = await asker.ask(
        user, Question(kind.value, {**sections, **rows}, schema, MAX_TOKENS), read_operations
    )
    if read:
        await asyncio.to_thread(apply_proposals, asker.store, user, kind, source, read, view)
