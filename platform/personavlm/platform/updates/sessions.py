"""Which turns belong together when sessions are consolidated, and when a session is over."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from personavlm.memory_store.records import Turn

Turns = tuple[Turn, ...]


def split_sessions(turns: Sequence[Turn], gap: timedelta) -> list[Turns]:
    """Runs of turns in the order in which they were stored, none divided by a pause of ``gap``.

    For a live user these are the store's sessions. Turns that were imported late each opened a session
    of their own; here those of one sitting come together again.
    """
    runs: list[list[Turn]] = []
    for turn in turns:
        if runs and _goes_on(runs[-1][-1], turn, gap):
            runs[-1].append(turn)
        else:
            runs.append([turn])
    return [tuple(run) for run in runs]


def first_part(turns: Turns, most: int) -> Turns:
    """The first of as few parts of about equal size as hold at most ``most`` turns each.

    Taking the first part of what is left again and again gives the same parts from wherever one starts.
    """
    parts = -(-len(turns) // most)
    return turns[: -(-len(turns) // parts)]


def over_by_event_time(last: Turn, now: datetime, gap: timedelta) -> bool:
    """Whether a session that ``last`` ended is over, ``now`` being a time of the user's timeline."""
    return now - last.event_time >= gap


def idle_since_recorded(last: Turn, now: datetime, gap: timedelta) -> bool:
    """Whether the user has been away for ``gap``, by the clock on the wall: when did we hear last?"""
    return now - last.recorded_at >= gap


def _goes_on(before: Turn, turn: Turn, gap: timedelta) -> bool:
    pause = turn.event_time - before.event_time
    return turn.session == before.session or timedelta(0) <= pause < gap
