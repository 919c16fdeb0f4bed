"""From a draft to the turn that is stored: its time, its session, its id."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256

from personavlm.memory_store.errors import InvalidError, OutOfOrderError
from personavlm.memory_store.records import Turn, TurnDraft, UserKey
from personavlm.memory_store.storage.media import MediaFolder
from personavlm.memory_store.storage.tables import uid_of
from personavlm.memory_store.times import utc
from personavlm.memory_store.working_set import WorkingSet


def take_in(
    drafts: Sequence[TurnDraft],
    user: UserKey,
    records: WorkingSet,
    media: MediaFolder,
    gap: timedelta,
    now: datetime,
) -> tuple[tuple[Turn, ...], tuple[Turn, ...]]:
    """The turn of each draft, and those of them that are new, in order.

    The working set gets the new ones as it goes: where they are not stored after all, and where this
    raises, it must be forgotten.
    """
    turns, first = [], len(records.turns)
    for draft in drafts:
        turn = records.turn_of_client(draft.client_id)
        if turn is None:
            media.require(user, draft.images)
            turn = turn_of(draft, records, uid_of(user), gap, now)
            records.add_turn(turn)
        turns.append(turn)
    return tuple(turns), tuple(records.turns[first:])


def turn_of(draft: TurnDraft, records: WorkingSet, uid: str, gap: timedelta, now: datetime) -> Turn:
    """The next turn of this user. InvalidError, OutOfOrderError, ValueError (naive time)."""
    if not (draft.user_text.strip() or draft.assistant_text.strip() or draft.images):
        raise InvalidError("a turn needs a text or an image")
    event_time = _event_time(draft, records, now)
    # Not made from the text: ids stand in the clear where texts are encrypted.
    place = f"{uid} {records.next_index} {event_time.isoformat()} {draft.client_id}"
    id = f"t_{sha256(place.encode(errors='surrogatepass')).hexdigest()[:26]}"
    return Turn(
        id=id,
        index=records.next_index,
        session=records.session_for(event_time, gap) or id,
        event_time=event_time,
        recorded_at=records.not_before_last(now),
        user_text=draft.user_text,
        assistant_text=draft.assistant_text,
        images=tuple(draft.images),
        thinking=draft.thinking,
        model=draft.model,
        client_id=draft.client_id,
        utc_offset_minutes=draft.utc_offset_minutes,
    )


def _event_time(draft: TurnDraft, records: WorkingSet, now: datetime) -> datetime:
    newest = records.newest_turn()
    if draft.event_time is None:
        return max(now, newest.event_time) if newest else now
    event_time = utc(draft.event_time)
    if newest and event_time < newest.event_time and not draft.allow_past:
        raise OutOfOrderError(f"{event_time} lies before the newest turn at {newest.event_time}")
    return event_time
