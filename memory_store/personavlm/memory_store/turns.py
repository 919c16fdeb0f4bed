"""From a draft to the turn that is stored: its time, its session, its id."""

from datetime import datetime, timedelta
from hashlib import blake2b

from personavlm.memory_store.errors import InvalidError, OutOfOrderError
from personavlm.memory_store.records import Turn, TurnDraft
from personavlm.memory_store.times import utc
from personavlm.memory_store.working_set import WorkingSet


def turn_of(draft: TurnDraft, records: WorkingSet, uid: str, gap: timedelta, now: datetime) -> Turn:
    """The next turn of this user. InvalidError, OutOfOrderError, ValueError (naive time)."""
    if not (draft.user_text.strip() or draft.assistant_text.strip() or draft.images or draft.attachments):
        raise InvalidError("a turn needs a text, an image, a video or a recording")
    event_time, index = _event_time(draft, records, now), records.next_index
    # Not made from the text: ids stand in the clear where texts are encrypted.
    place = f"{uid} {index} {event_time.timestamp()} {draft.client_id}"
    id = f"t_{blake2b(place.encode(errors='surrogatepass'), digest_size=13).hexdigest()}"
    return Turn(
        id=id,
        index=index,
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
        attachments=tuple(draft.attachments),
    )


def _event_time(draft: TurnDraft, records: WorkingSet, now: datetime) -> datetime:
    newest = records.newest_turn()
    if draft.event_time is None:
        return max(now, newest.event_time) if newest else now
    event_time = utc(draft.event_time)
    if newest and event_time < newest.event_time and not draft.allow_past:
        raise OutOfOrderError(f"{event_time} lies before the newest turn at {newest.event_time}")
    return event_time
