"""What every first prompt starts from, and the lists that show a user's memory."""

from datetime import datetime, timedelta
from heapq import nlargest, nsmallest

from personavlm.memory_store.queries import AsOf, Context, TimelineEntry, Window
from personavlm.memory_store.records import (
    CoreMemory,
    EpisodicMemory,
    MemoryKind,
    Profile,
    SemanticMemory,
    Turn,
)
from personavlm.memory_store.working_set import EPOCH, WorkingSet, event_known

CHARACTERS_PER_TOKEN = 4


def estimate_tokens(turn: Turn) -> int:
    """About how many tokens the turn's two texts take: one for four characters, rounded up.

    An estimate on purpose: the store knows no tokenizer. Images are not counted.
    """
    return -(-(len(turn.user_text) + len(turn.assistant_text)) // CHARACTERS_PER_TOKEN)


def context_of(
    working_set: WorkingSet,
    now: datetime,
    gap: timedelta,
    token_budget: int,
    as_of: AsOf | None,
    last_erasure: int,
) -> Context:
    """Core memory, profile, and the newest turns of the open session that fit the budget.

    A session is open until ``gap`` has passed since its newest turn.
    """
    profile = profile_of(working_set, as_of)
    session: list[Turn] = []
    newest = working_set.newest_turn(as_of)
    if newest and now - newest.event_time < gap:
        session = working_set.all_turns(newest.session, as_of=as_of)
        session.sort(key=lambda turn: (turn.event_time, turn.index))
    shown = _newest_within(session, token_budget)
    core = working_set.memories(MemoryKind.CORE, as_of)
    return Context(
        core=tuple(memory for memory in core if isinstance(memory, CoreMemory)),
        personality=profile if profile.consent else None,
        open_session=tuple(shown),
        omitted_turns=len(session) - len(shown),
        turn_count=working_set.turn_count(as_of),
        last_erasure=last_erasure,
    )


def _newest_within(turns: list[Turn], token_budget: int) -> list[Turn]:
    """The longest run of turns up to the last one that fits, oldest first."""
    first = len(turns)
    while first and (token_budget := token_budget - estimate_tokens(turns[first - 1])) >= 0:
        first -= 1
    return turns[first:]


def profile_of(working_set: WorkingSet, as_of: AsOf | None) -> Profile:
    """The last version known; version 0, neutral in every trait, before the first."""
    known = (profile for profile in reversed(working_set.profiles) if event_known(profile, as_of))
    return next(known, Profile(version=0, event_time=EPOCH, recorded_at=EPOCH))


def timeline_of(
    working_set: WorkingSet, window: Window, limit: int, newest_first: bool
) -> tuple[TimelineEntry, ...]:
    """Turns and memories that touch the window, superseded ones among them, deleted ones not."""
    entries = [
        TimelineEntry(turn.event_time, "turn", turn.id, turn.user_text or turn.assistant_text, turn.images)
        for turn in (*working_set.cold.in_window(window, limit, newest_first), *working_set.turns)
        if window.overlaps(turn.event_time, turn.event_time)
    ]
    for kind in MemoryKind:
        for memory in working_set.memories(kind, include_ended=True):
            end = memory.end_time if isinstance(memory, EpisodicMemory) else memory.event_time
            if window.overlaps(memory.event_time, end):
                images = memory.images if isinstance(memory, SemanticMemory) else ()
                entries.append(TimelineEntry(memory.event_time, kind.value, memory.id, memory.text, images))
    # Entries of one instant stay in a fixed order: turns first, then as they were made.
    order = {id(entry): number for number, entry in enumerate(entries)}
    choose = nlargest if newest_first else nsmallest
    return tuple(choose(limit, entries, key=lambda entry: (entry.time, order[id(entry)])))
