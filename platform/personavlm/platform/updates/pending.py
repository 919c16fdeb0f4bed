"""What is pending for one user, and doing it in order."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime

from personavlm.memory_store.records import MemoryKind, Progress, Turn, UserKey
from personavlm.memory_store.times import LATEST, shifted
from personavlm.platform.updates.asking import Asker
from personavlm.platform.updates.episodic import remember_episodes
from personavlm.platform.updates.keyed import revise_core, revise_procedural
from personavlm.platform.updates.linking import link_episodes
from personavlm.platform.updates.personality import infer_personality
from personavlm.platform.updates.semantic import extract_semantic
from personavlm.platform.updates.sessions import Turns, first_part, idle_since_recorded, split_sessions
from personavlm.platform.updates.settings import UpdateSettings

_SESSION_STEPS = (
    (MemoryKind.EPISODIC, remember_episodes),
    (MemoryKind.PROCEDURAL, revise_procedural),
    (MemoryKind.CORE, revise_core),
)


class PendingWork:
    """One pass over everything that one user's data is waiting for.

    ``closed``: id of the last turn of the sessions that a caller closed; one that was erased since closes
    nothing.
    """

    def __init__(self, asker: Asker, settings: UpdateSettings, user: UserKey, closed: str) -> None:
        self._asker, self._store, self._settings, self._user = asker, asker.store, settings, user
        self._closed, self._closed_to = closed, -1
        self._progress = self._saved = Progress()
        self._turns: Turns = ()
        self._profiled: frozenset[str] = frozenset()

    async def finish(self, now: datetime) -> bool:
        """Do all of it; whether there was anything. ``now`` by the clock on the wall.

        Raises `EngineError`; what was done until then is kept.
        """
        await asyncio.to_thread(self._load)
        before = self._progress
        sessions = split_sessions(self._turns, self._settings.session_gap)
        try:
            for session in sessions:
                await self._update_turns(session)
                await self._consolidate(session, session is not sessions[-1] or self._is_over(session, now))
        finally:
            await asyncio.to_thread(self._save)
        return self._progress != before

    @property
    def consolidated(self) -> int:
        """Turns with an index below it are done with."""
        return self._progress.consolidated

    def next_due(self) -> datetime:
        """When there is work though no turn comes: the open session's close for want of a next turn."""
        last = self._turns[-1:]
        if not last or last[0].index < self._progress.consolidated:
            return LATEST
        return shifted(last[0].recorded_at, self._settings.session_gap)

    def _load(self) -> None:
        self._progress = self._saved = self._store.progress(self._user)
        self._turns = self._store.turns(self._user, first_index=self._progress.consolidated)
        self._closed_to = next((turn.index for turn in self._turns if turn.id == self._closed), -1)
        self._profiled = frozenset(profile.source for profile in self._store.profile_history(self._user))
        # Steps run in order: whatever lies before a turn that left a trace is done.
        for turn in reversed(self._turns):
            if turn.index < self._progress.turns or self._left_trace(turn):
                self._progress = replace(self._progress, turns=max(self._progress.turns, turn.index))
                return

    def _left_trace(self, turn: Turn) -> bool:
        source = _source_of(turn)
        return source in self._profiled or self._store.applied(self._user, MemoryKind.SEMANTIC, source)

    async def _update_turns(self, session: Turns) -> None:
        for position, turn in enumerate(session):
            if turn.index < self._progress.turns:
                continue
            if turn.user_text.strip() or turn.images:
                await self._update_turn(turn, session[:position][-self._settings.earlier_turns :])
            self._progress = replace(self._progress, turns=turn.index + 1)
            if self._progress.turns - self._saved.turns >= self._settings.save_every:
                await asyncio.to_thread(self._save)

    async def _update_turn(self, turn: Turn, earlier: Turns) -> None:
        if _source_of(turn) not in self._profiled:
            await infer_personality(self._asker, self._settings, self._user, turn, earlier)
        if not await self._applied(MemoryKind.SEMANTIC, _source_of(turn)):
            await extract_semantic(self._asker, self._settings, self._user, turn, earlier)

    async def _consolidate(self, session: Turns, over: bool) -> None:
        """Consolidate what is left of a session: all of it if it is over, else only what was begun."""
        rest = tuple(turn for turn in session if turn.index >= self._progress.consolidated)
        while rest:
            source = f"session:{rest[0].id}"
            part = await asyncio.to_thread(self._begun_part, rest, source)
            if not part and not over:
                return
            part = part or first_part(rest, self._settings.consolidated_turns)
            await asyncio.to_thread(self._save)  # no turn is looked at again with what comes after it
            for kind, step in _SESSION_STEPS:
                if not await self._applied(kind, source):
                    await step(self._asker, self._settings, self._user, part, source)
            await link_episodes(self._store, self._user, source)
            self._progress = replace(self._progress, consolidated=part[-1].index + 1)
            await asyncio.to_thread(self._save)
            rest = rest[len(part) :]

    def _begun_part(self, rest: Turns, source: str) -> Turns:
        """The part that a crash interrupted, empty if none: its episodes, written first, say which it was.

        The session may have gone on since then.
        """
        if not self._store.applied(self._user, MemoryKind.EPISODIC, source):
            return ()
        written = self._store.apply(self._user, MemoryKind.EPISODIC, source, ())
        covered = {turn_id for episode in written for turn_id in episode.evidence}
        end = max((turn.index for turn in rest if turn.id in covered), default=rest[0].index)
        return tuple(turn for turn in rest if turn.index <= end)

    def _is_over(self, session: Turns, now: datetime) -> bool:
        last = session[-1]
        return last.index <= self._closed_to or idle_since_recorded(last, now, self._settings.session_gap)

    async def _applied(self, kind: MemoryKind, source: str) -> bool:
        return await asyncio.to_thread(self._store.applied, self._user, kind, source)

    def _save(self) -> None:
        if self._progress != self._saved:
            self._store.save_progress(self._user, self._progress)
            self._saved = self._progress


def _source_of(turn: Turn) -> str:
    return f"turn:{turn.id}"
