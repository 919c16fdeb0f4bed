"""From operations to the versions that they write. Nothing is stored here.

Operations of one step see each other's effect. Either all of them can be applied or none is.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, assert_never

from personavlm.memory_store.errors import InvalidError
from personavlm.memory_store.records import (
    Add,
    AnyMemory,
    CoreMemory,
    Delete,
    EpisodicMemory,
    MemoryKind,
    Operation,
    ProceduralMemory,
    SemanticMemory,
    Update,
)
from personavlm.memory_store.times import utc
from personavlm.memory_store.working_set import WorkingSet


def readable_digest(*parts: str | int) -> str:
    """26 letters and digits (130 bits) that depend on every part and on where one ends."""
    digest = hashlib.sha256()
    for part in parts:
        data = str(part).encode(errors="surrogatepass")
        digest.update(len(data).to_bytes(8) + data)
    return base64.b32encode(digest.digest()).decode().lower()[:26]


class Step:
    """One step of the update stage: what its operations write.

    A memory that an ``Add`` supersedes gets its closing version just before the new memory.
    """

    def __init__(
        self,
        working_set: WorkingSet,
        uid: str,
        kind: MemoryKind,
        source: str,
        recorded_at: datetime,
    ) -> None:
        self._working_set = working_set
        self._uid, self._kind, self._source = uid, kind, source
        self._recorded_at = recorded_at
        self._versions: list[AnyMemory] = []

    def plan(self, operations: Sequence[Operation]) -> tuple[AnyMemory, ...]:
        """The versions to write, in order. InvalidError or ValueError (naive time) names what cannot be."""
        for ordinal, operation in enumerate(operations):
            for id in operation.evidence:
                if self._working_set.turn(id) is None:
                    raise InvalidError(f"evidence {id!r} is not a turn of this user")
            if isinstance(operation, Add):
                self._add(operation, ordinal)
            elif isinstance(operation, Update):
                self._update(operation)
            elif isinstance(operation, Delete):
                self._delete(operation)
            else:
                assert_never(operation)
        return tuple(self._versions)

    def _add(self, add: Add, ordinal: int) -> None:
        _require_text(add.text)
        memory = self._new(
            add, f"{self._kind[0]}_{readable_digest(self._uid, self._kind, self._source, ordinal)}"
        )
        replaced = self._close(add, memory) if add.supersedes else None
        if isinstance(memory, CoreMemory | ProceduralMemory):
            self._require_free_key(memory.key, replaced)
        self._versions += [replaced, memory] if replaced else [memory]

    def _new(self, add: Add, id: str) -> AnyMemory:
        common: dict[str, Any] = {
            "id": id,
            "version": 1,
            "text": add.text,
            "event_time": utc(add.event_time),
            "revised_at": self._revised_at(add),
            "recorded_at": self._recorded_at,
            "evidence": tuple(add.evidence),
            "reason": add.reason,
            "source": self._source,
        }
        match self._kind:
            case MemoryKind.CORE:
                return CoreMemory(**common, block=add.block, key=add.key)
            case MemoryKind.SEMANTIC:
                return SemanticMemory(
                    **common,
                    category=add.category,
                    keywords=tuple(add.keywords),
                    images=tuple(add.images),
                    crops=tuple(add.crops),
                )
            case MemoryKind.EPISODIC:
                end_time = utc(add.end_time or add.event_time)
                if not add.evidence or end_time < add.event_time:
                    raise InvalidError("an episode needs its turns as evidence and an end after its start")
                return EpisodicMemory(
                    **common, keywords=tuple(add.keywords), session=add.session, end_time=end_time
                )
            case MemoryKind.PROCEDURAL:
                return ProceduralMemory(**common, key=add.key)

    def _close(self, add: Add, successor: AnyMemory) -> AnyMemory:
        old = self._live(add.supersedes)
        return replace(
            self._next(old, add),
            valid_to=max(successor.event_time, old.event_time),
            superseded_by=successor.id,
        )

    def _update(self, update: Update) -> None:
        _require_text(update.text)
        old = self._live(update.id)
        event_time = utc(update.event_time)
        new = replace(self._next(old, update), text=update.text, evidence=tuple(update.evidence))
        if isinstance(new, EpisodicMemory):  # an episode keeps its beginning; it can only grow
            if not update.evidence:
                raise InvalidError("an episode needs its turns as evidence")
            new = replace(new, end_time=max(new.end_time, event_time))
        else:
            new = replace(new, event_time=event_time)
        self._versions.append(new)

    def _delete(self, delete: Delete) -> None:
        utc(delete.event_time)
        new = replace(self._next(self._present(delete.id), delete), deleted=True)
        self._versions.append(replace(new, evidence=tuple(delete.evidence)))

    def _next(self, old: AnyMemory, operation: Operation) -> AnyMemory:
        """The next version of ``old``, all else unchanged. It is never known before the one it follows."""
        return replace(
            old,
            version=old.version + 1,
            revised_at=max(self._revised_at(operation), old.revised_at),
            recorded_at=self._recorded_at,
            reason=operation.reason,
            source=self._source,
        )

    def _revised_at(self, operation: Operation) -> datetime:
        """When, on the timeline, this became known: with the last turn that it rests on."""
        scope, _, id = self._source.partition(":")
        turns = [self._working_set.turn(evidence) for evidence in operation.evidence]
        if scope == "turn":
            turns.append(self._working_set.turn(id))
        elif scope == "session":
            turns += self._working_set.session(id)
        return max((turn.event_time for turn in turns if turn), default=utc(operation.event_time))

    def _present(self, id: str) -> AnyMemory:
        own = next((memory for memory in reversed(self._versions) if memory.id == id), None)
        latest = own or next(reversed(self._working_set.versions(id)), None)
        if latest is None or latest.deleted or latest.kind != self._kind:
            raise InvalidError(f"no {self._kind} memory {id!r}")
        return latest

    def _live(self, id: str) -> AnyMemory:
        memory = self._present(id)
        if memory.valid_to is not None:
            raise InvalidError(f"the memory {id!r} was superseded by {memory.superseded_by!r}")
        return memory

    def _require_free_key(self, key: str, replaced: AnyMemory | None) -> None:
        if not key.strip():
            raise InvalidError(f"a {self._kind} memory needs a key")
        latest = {memory.id: memory for memory in self._working_set.memories(self._kind)}
        latest |= {memory.id: memory for memory in self._versions}
        if replaced:
            del latest[replaced.id]
        for memory in latest.values():
            live = not memory.deleted and memory.valid_to is None
            if live and isinstance(memory, CoreMemory | ProceduralMemory) and memory.key == key:
                raise InvalidError(f"the key {key!r} belongs to {memory.id!r}: update or supersede it")


def _require_text(text: str) -> None:
    if not text.strip():
        raise InvalidError("a memory needs a text")
