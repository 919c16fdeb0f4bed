"""Proposals against what the prompt showed and what the store holds: operations, or reasons why not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from personavlm.memory_store.records import (
    Add,
    AnyMemory,
    CoreMemory,
    Delete,
    ImageRef,
    MemoryKind,
    Operation,
    ProceduralMemory,
    SemanticMemory,
    Turn,
    Update,
)
from personavlm.memory_store.records import Crop as CropRecord
from personavlm.memory_store.retrieval.lexical import terms
from personavlm.platform.updates.operations import (
    MAX_KEYWORDS,
    AddProposal,
    DeleteProposal,
    Proposal,
    Shown,
    UpdateProposal,
)

MAX_TEXT_CHARS = {
    MemoryKind.CORE: 300,
    MemoryKind.SEMANTIC: 500,
    MemoryKind.EPISODIC: 1200,
    MemoryKind.PROCEDURAL: 300,
}
PROTECTED_KEY = "name"  # core memory is never without it


Pictures = tuple[tuple[ImageRef, ...], tuple[CropRecord, ...]]
"""The images of a memory, and out of which image of a turn each crop among them was cut."""
Crop = Callable[[tuple[ImageRef, ...], str], Pictures]
"""From images of turns and the name of what they show to the images that a memory of it keeps."""


def whole(images: tuple[ImageRef, ...], thing: str) -> Pictures:
    """The images as they are."""
    return images, ()


class Rejected(Exception):
    """One proposal cannot be applied; the message says why."""


@dataclass(slots=True)
class Conversion:
    """Turns the proposals of one step into operations, one by one.

    ``current`` are the user's memories of this kind as the store holds them now. ``occasion``, where
    given, is the turn that the step is about: it always counts as evidence. ``crop`` is asked of memories
    of something shown, once all else about them is settled.
    """

    kind: MemoryKind
    shown: Shown
    current: Collection[AnyMemory]
    occasion: Turn | None = None
    crop: Crop = whole
    dropped: list[str] = field(default_factory=list)
    _touched: set[str] = field(default_factory=set)
    _keys: dict[str, str] = field(default_factory=dict)
    _texts: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._texts = {_plain(memory.text) for memory in self.current}
        self._keys = {
            memory.key: memory.id
            for memory in self.current
            if isinstance(memory, CoreMemory | ProceduralMemory)
        }

    def convert(self, proposals: Sequence[Proposal]) -> tuple[Operation, ...]:
        """The operations that stand; why the others do not is in ``dropped``."""
        operations: list[Operation] = []
        for number, proposal in enumerate(proposals, 1):
            try:
                operations.append(self._one(proposal))
            except Rejected as why:
                self.dropped.append(f"operation {number} ({proposal.op}): {why}")
        return tuple(operations)

    def _one(self, proposal: Proposal) -> Operation:
        if isinstance(proposal, AddProposal):
            return self._add(proposal)
        return self._update(proposal) if isinstance(proposal, UpdateProposal) else self._delete(proposal)

    def _add(self, proposal: AddProposal) -> Operation:
        if self.kind in (MemoryKind.CORE, MemoryKind.PROCEDURAL):
            if not proposal.key:
                raise Rejected("it has no key")
            if proposal.key in self._keys:
                return self._rewrite(self._keys[proposal.key], proposal)
        evidence = self._grounded_evidence(proposal)
        self._claim_text(proposal.text)
        if proposal.key:
            self._keys[proposal.key] = ""
        builders: Mapping[MemoryKind, Callable[[AddProposal, list[Turn]], Add]] = {
            MemoryKind.CORE: _add_core,
            MemoryKind.PROCEDURAL: _add_procedural,
            MemoryKind.EPISODIC: _add_episodic,
            MemoryKind.SEMANTIC: self._add_semantic,
        }
        return builders[self.kind](proposal, evidence)

    def _add_semantic(self, proposal: AddProposal, evidence: list[Turn]) -> Add:
        images = tuple(dict.fromkeys(ref for turn in evidence for ref in turn.images))
        shown = proposal.shown or proposal.category == "concept"
        supersedes = self._superseded(proposal.supersedes)
        thing = proposal.object or proposal.text
        images_kept, crops = self.crop(images, thing) if shown and images else ((), ())
        return Add(
            text=proposal.text,
            event_time=evidence[-1].event_time,
            evidence=_ids(evidence),
            reason=proposal.reason,
            category=proposal.category if images or proposal.category != "concept" else "fact",
            keywords=proposal.keywords[:MAX_KEYWORDS],
            images=images_kept,
            supersedes=supersedes,
            crops=crops,
        )

    def _superseded(self, short_id: str | None) -> str:
        """The id of the memory to supersede; a link that cannot be made is dropped, not the memory."""
        if not short_id:
            return ""
        try:
            memory = self._find(short_id)
        except Rejected as why:
            self.dropped.append(f"link `supersedes`: {why}")
            return ""
        if not isinstance(memory, SemanticMemory) or memory.valid_to is not None:
            self.dropped.append("link `supersedes`: the memory has been superseded already")
            return ""
        self._touched.add(memory.id)
        return memory.id

    def _update(self, proposal: UpdateProposal) -> Operation:
        return self._rewrite(self._find(proposal.id).id, proposal)

    def _rewrite(self, memory_id: str, proposal: AddProposal | UpdateProposal) -> Update:
        if not memory_id or memory_id in self._touched:
            raise Rejected("the memory was changed earlier in the same answer")
        evidence = self._grounded_evidence(proposal)
        self._claim_text(proposal.text)
        self._touched.add(memory_id)
        return Update(
            memory_id, proposal.text, evidence[-1].event_time, _ids(evidence), reason=proposal.reason
        )

    def _delete(self, proposal: DeleteProposal) -> Delete:
        memory = self._find(proposal.id)
        if isinstance(memory, CoreMemory) and memory.key == PROTECTED_KEY:
            raise Rejected("the name can be updated, not deleted")
        self._touched.add(memory.id)
        evidence = self._evidence(proposal)
        return Delete(memory.id, self._time(evidence), proposal.reason, _ids(evidence))

    def _find(self, short_id: str) -> AnyMemory:
        """The memory behind a short id. One operation of an answer may touch it, no more."""
        memory = self.shown.memories.get(short_id)
        if memory is None:
            raise Rejected("it names a memory that was not shown")
        if memory.id in self._touched:
            raise Rejected("the memory was changed earlier in the same answer")
        if all(memory.id != held.id for held in self.current):
            raise Rejected("the memory no longer exists")
        return memory

    def _evidence(self, proposal: Proposal) -> list[Turn]:
        named = [self.shown.turns[short_id] for short_id in proposal.evidence if short_id in self.shown.turns]
        if self.occasion:
            named.append(self.occasion)
        return sorted({turn.id: turn for turn in named}.values(), key=lambda turn: turn.index)

    def _grounded_evidence(self, proposal: AddProposal | UpdateProposal) -> list[Turn]:
        """Evidence turns in which the user said or showed something of it."""
        if len(proposal.text) > MAX_TEXT_CHARS[self.kind]:
            raise Rejected(f"its text is longer than {MAX_TEXT_CHARS[self.kind]} characters")
        evidence = self._evidence(proposal)
        if not evidence:
            raise Rejected("it rests on no turn that was shown")
        if self.kind is not MemoryKind.EPISODIC and not is_grounded(proposal.text, evidence):
            raise Rejected("the user neither said nor showed it")
        return evidence

    def _claim_text(self, text: str) -> None:
        if _plain(text) in self._texts:
            raise Rejected("it is known already")
        self._texts.add(_plain(text))

    def _time(self, evidence: Sequence[Turn]) -> datetime:
        return (evidence or list(self.shown.turns.values()))[-1].event_time


def is_grounded(text: str, turns: Sequence[Turn]) -> bool:
    """Whether a text shares a content word with what the user said, or the user showed an image."""
    said = {term for turn in turns for term in terms(turn.user_text)}
    return any(turn.images for turn in turns) or not said.isdisjoint(terms(text))


def _add_core(proposal: AddProposal, evidence: list[Turn]) -> Add:
    return Add(
        text=proposal.text,
        event_time=evidence[-1].event_time,
        evidence=_ids(evidence),
        reason=proposal.reason,
        key=proposal.key,
        block=proposal.block,
    )


def _add_procedural(proposal: AddProposal, evidence: list[Turn]) -> Add:
    return Add(
        text=proposal.text,
        event_time=evidence[-1].event_time,
        evidence=_ids(evidence),
        reason=proposal.reason,
        key=proposal.key,
    )


def _add_episodic(proposal: AddProposal, evidence: list[Turn]) -> Add:
    times = [turn.event_time for turn in evidence]
    return Add(
        text=proposal.text,
        event_time=min(times),
        end_time=max(times),
        evidence=_ids(evidence),
        reason=proposal.reason,
        keywords=proposal.keywords[:MAX_KEYWORDS],
        session=evidence[0].session,
    )


def _ids(turns: Sequence[Turn]) -> tuple[str, ...]:
    return tuple(turn.id for turn in turns)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".!")
