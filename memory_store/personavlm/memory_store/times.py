"""Instants of the store: UTC with microseconds, never naive."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from personavlm.memory_store.queries import AsOf, Window

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST = datetime.min.replace(tzinfo=UTC)
LATEST = datetime.max.replace(tzinfo=UTC)


def utc_now() -> datetime:
    """The present instant."""
    return datetime.now(UTC)


def utc(time: datetime) -> datetime:
    """The same instant in UTC. ValueError for a naive time: nobody knows which instant it means."""
    if time.utcoffset() is None:
        raise ValueError(f"{time} has no time zone")
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{time} lies outside the years 1 to 9999") from error


def utc_window(window: Window) -> Window:
    """The same window in UTC. ValueError for a naive bound."""
    return Window(window.start and utc(window.start), window.end and utc(window.end))


def utc_as_of(as_of: AsOf | None) -> AsOf | None:
    """The same instant on the same clock in UTC. ValueError for a naive time."""
    return as_of and replace(as_of, time=utc(as_of.time))


def microseconds(time: datetime) -> int:
    """Microseconds since 1970, negative before."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def shifted(time: datetime, by: timedelta) -> datetime:
    """``time + by``, held within the years that a datetime can say."""
    if by >= timedelta(0):
        return LATEST if LATEST - time < by else time + by
    return EARLIEST if time - EARLIEST < -by else time + by
