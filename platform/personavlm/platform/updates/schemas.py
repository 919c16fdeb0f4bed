"""JSON schemas of what update steps ask for; engines that can constrain their output to them do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from personavlm.memory_store.records import TRAITS, MemoryKind
from personavlm.platform.updates.operations import Shown

Schema = dict[str, Any]
_TEXT: Schema = {"type": "string", "minLength": 1}
_FIELDS: dict[MemoryKind, Schema] = {
    MemoryKind.CORE: {"key": _TEXT, "block": {"enum": ["human", "persona"]}},
    MemoryKind.SEMANTIC: {
        "category": {"enum": ["directive", "fact", "preference", "concept"]},
        "keywords": {"type": "array", "items": _TEXT},
        "shown": {"type": "boolean"},
        "object": {"type": "string"},
    },
    MemoryKind.EPISODIC: {"keywords": {"type": "array", "items": _TEXT}},
    MemoryKind.PROCEDURAL: {"key": _TEXT},
}


def scores_schema() -> Schema:
    """Five whole numbers from 1 to 5."""
    return _object({trait: {"type": "integer", "minimum": 1, "maximum": 5} for trait in TRAITS})


def operations_schema(kind: MemoryKind, shown: Shown, limit: int) -> Schema:
    """Operations on one kind of memory that name only what was shown."""
    memories = list(shown.memories)
    forms = [_add(kind, shown)]
    if memories:
        forms += [_change("update", memories, shown), _change("delete", memories, shown)]
    items = {"type": "array", "items": {"anyOf": forms}, "maxItems": limit}
    return _object({"operations": items})


def _add(kind: MemoryKind, shown: Shown) -> Schema:
    properties: Schema = {"op": {"const": "add"}, **_FIELDS[kind], "text": _TEXT}
    if kind is MemoryKind.SEMANTIC and shown.memories:
        properties["supersedes"] = {"enum": [*shown.memories, None]}
    if kind is not MemoryKind.EPISODIC:
        properties["reason"] = {"type": "string"}
    return _object(properties | {"evidence": _ids(shown.turns)})


def _change(op: Literal["update", "delete"], memories: list[str], shown: Shown) -> Schema:
    text = {"text": _TEXT} if op == "update" else {}
    properties: Schema = {"op": {"const": op}, "id": {"enum": memories}, **text, "reason": _TEXT}
    return _object(properties | {"evidence": _ids(shown.turns)})


def _ids(turns: Iterable[str]) -> Schema:
    return {"type": "array", "items": {"enum": list(turns)}, "minItems": 1}


def _object(properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
