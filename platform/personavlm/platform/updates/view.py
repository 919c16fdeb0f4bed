"""How turns and memories look in the prompts of the update stage: rows under short ids.

A small model copies "t3" without error, 26 random letters it does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta, timezone, tzinfo

from personavlm.memory_store.records import (
    AnyMemory,
    CoreMemory,
    MemoryKind,
    ProceduralMemory,
    SemanticMemory,
    Turn,
)
from personavlm.platform.agent.prompting import Row, shown_time, turn_row
from personavlm.platform.updates.operations import Shown


def shown(turns: Sequence[Turn], memories: Sequence[AnyMemory]) -> Shown:
    """Turns as t1, t2, … and memories as m1, m2, …"""
    return Shown(
        {f"t{number}": turn for number, turn in enumerate(turns, 1)},
        {f"m{number}": memory for number, memory in enumerate(memories, 1)},
    )


def turn_rows(of: Shown, chars: int) -> list[Row]:
    """One row per turn, its texts cut to ``chars``."""
    return [
        turn_row(_cut(turn, chars), zone_of(turn)) | {"id": short_id} for short_id, turn in of.turns.items()
    ]


def memory_rows(of: Shown, zone: tzinfo) -> list[Row]:
    """One row per memory with what matters of its kind."""
    return [_memory_row(memory, zone) | {"id": short_id} for short_id, memory in of.memories.items()]


def core_rows(core: Sequence[AnyMemory]) -> list[Row]:
    """Core memory where it is only read: without ids."""
    return [
        {"key": memory.key, "block": memory.block, "text": memory.text}
        for memory in core
        if isinstance(memory, CoreMemory)
    ]


def zone_of(turn: Turn) -> tzinfo:
    """The user's local time at the turn."""
    return timezone(timedelta(minutes=turn.utc_offset_minutes))


def _memory_row(memory: AnyMemory, zone: tzinfo) -> Row:
    row: Row = {"id": "", "text": memory.text}
    if isinstance(memory, CoreMemory):
        return row | {"key": memory.key, "block": memory.block}
    if isinstance(memory, ProceduralMemory):
        return row | {"key": memory.key}
    if isinstance(memory, SemanticMemory):
        return row | {"time": shown_time(memory.event_time, zone), "category": memory.category}
    raise ValueError(f"{MemoryKind.EPISODIC} memory is never shown to an update step")


def _cut(turn: Turn, chars: int) -> Turn:
    user, assistant = _shortened(turn.user_text, chars), _shortened(turn.assistant_text, chars)
    return replace(turn, user_text=user, assistant_text=assistant)


def _shortened(text: str, chars: int) -> str:
    return text if len(text) <= chars else text[:chars] + " \u2026"
