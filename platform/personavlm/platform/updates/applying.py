"""From a model's proposals to a write of the store: the end that all memory steps share."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from personavlm.memory_store import InvalidError, MemoryStore, NotFoundError
from personavlm.memory_store.records import MemoryKind, Operation, Turn, UserKey
from personavlm.platform.updates.conversion import Conversion, Crop, whole
from personavlm.platform.updates.operations import Proposal, Shown

log = logging.getLogger(__name__)

Read = tuple[list[Proposal], list[str]]
"""Valid proposals, and why others were dropped."""


def apply_proposals(
    store: MemoryStore,
    user: UserKey,
    kind: MemoryKind,
    source: str,
    read: Read,
    shown: Shown,
    occasion: Turn | None = None,
    crop: Crop = whole,
) -> None:
    """Judge the proposals against what the store holds now, and apply those that stand.

    ``crop`` says which images a memory of something shown keeps.
    """
    proposals, dropped = read
    conversion = Conversion(kind, shown, store.memories(user, kind), occasion, crop)
    operations = conversion.convert(proposals)
    report_dropped(kind, source, (*dropped, *conversion.dropped))
    if operations:
        apply(store, user, kind, source, operations)


def apply(
    store: MemoryStore, user: UserKey, kind: MemoryKind, source: str, operations: Sequence[Operation]
) -> None:
    """Write operations that were judged a moment ago."""
    try:
        store.apply(user, kind, source, operations)
    except (InvalidError, NotFoundError) as error:
        # The user deleted something since then. Repeating the step for ever would help nobody.
        log.warning("%s, %s: dropped all %d operations: %s", kind, source, len(operations), error)


def report_dropped(kind: MemoryKind, source: str, dropped: Sequence[str]) -> None:
    """Say what of a model's answer was not used, without quoting the user."""
    for why in dropped:
        log.warning("%s, %s: dropped %s", kind, source, why)
