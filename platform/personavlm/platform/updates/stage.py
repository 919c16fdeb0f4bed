"""The update stage: works through everything that is pending for a user, in order, off the reply's path.

After each turn: personality, then semantic memory. After each closed session: episodic, procedural, core,
then links from its episodes to older ones.
Each step writes under a source of its own ("turn:<id>", "session:<id of its first turn>") and is skipped
where that source is known, so a crash at any point repeats work and never doubles it. How far all steps
have come is stored with the user's data.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from weakref import WeakValueDictionary

from personavlm.memory_store import MemoryStore
from personavlm.memory_store.records import UserKey
from personavlm.memory_store.times import utc_now
from personavlm.platform.encoders.crops import Detector
from personavlm.platform.engines.base import Engine
from personavlm.platform.prompts.render import PromptPack, default_pack
from personavlm.platform.updates.asking import Asker
from personavlm.platform.updates.pending import PendingWork
from personavlm.platform.updates.sessions import Turns, over_by_event_time, split_sessions
from personavlm.platform.updates.settings import UpdateSettings


class UpdateStage:
    """Updates of all users of one store. Different users run side by side, one user never does.

    ``clock`` tells when a user who does not return is taken to have left. Without a ``detector`` visual
    memories keep whole images.
    """

    def __init__(
        self,
        store: MemoryStore,
        engine: Engine,
        prompts: PromptPack | None = None,
        settings: UpdateSettings | None = None,
        clock: Callable[[], datetime] = utc_now,
        detector: Detector | None = None,
    ) -> None:
        self._store = store
        self._settings = settings or UpdateSettings()
        self._clock = clock
        self._asker = Asker(store, engine, prompts or default_pack(), detector)
        self._locks: WeakValueDictionary[UserKey, asyncio.Lock] = WeakValueDictionary()
        self._closed: dict[UserKey, str] = {}  # last turn of the sessions that a caller closed
        self._due_at: dict[UserKey, datetime] = {}  # after a finished run: when there is work again

    async def run(self, user: UserKey) -> bool:
        """Do everything that is pending for a user; whether there was anything.

        Raises `EngineError` where the model fails: what is done stays done, call again later.
        """
        lock = self._locks.setdefault(user, asyncio.Lock())
        async with lock:
            self._due_at.pop(user, None)
            closed = self._closed.get(user, "")
            pending = PendingWork(self._asker, self._settings, user, closed)
            worked = await pending.finish(self._clock())
            if self._closed.get(user) == closed:  # else a caller closed more meanwhile
                del self._closed[user]
            self._due_at[user] = pending.next_due()
            return worked

    async def close_sessions(self, user: UserKey, now: datetime) -> list[str]:
        """Close the sessions that are over by ``now``, a time of the user's timeline; their ids.

        A session is over when a later one exists or ``now`` is a session gap or more after its last
        turn. What follows from it is done by the next `run`.
        """
        gap = self._settings.session_gap
        sessions = await asyncio.to_thread(self._unconsolidated, user)
        over = sessions[:-1]
        if sessions and over_by_event_time(sessions[-1][-1], now, gap):
            over.append(sessions[-1])
            self._closed[user] = sessions[-1][-1].id
        return list(dict.fromkeys(turns[0].session for turns in over))

    async def due(self, user: UserKey, now: datetime) -> bool:
        """Whether `run` has something to do though no turn came, ``now`` by the clock on the wall.

        A user of whom nothing is known since the start of the process is due.
        """
        return user not in self._due_at or now >= self._due_at[user]

    def _unconsolidated(self, user: UserKey) -> list[Turns]:
        progress = self._store.progress(user)
        turns = self._store.turns(user, first_index=progress.consolidated)
        return split_sessions(turns, self._settings.session_gap)
