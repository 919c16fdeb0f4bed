"""The home of users: the only writer of its shards, which also runs their update stage.

The class knows no Ray; `memory_pool` makes actors of it. Calls of the store are plain Python that may
wait for a disk, so each runs in a thread and the event loop stays free.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from uuid import uuid4

from personavlm.deployments import tracing
from personavlm.deployments.courtesy import CourteousEngine, Courtesy
from personavlm.deployments.events import Found
from personavlm.deployments.garbage import spare_collections
from personavlm.deployments.memory_archives import Archives
from personavlm.deployments.memory_keeping import Keeping
from personavlm.deployments.memory_media import Media
from personavlm.deployments.memory_origins import Attributed
from personavlm.deployments.memory_personality import Personality
from personavlm.deployments.open_stores import open_stores
from personavlm.deployments.policy_engine import update_engine
from personavlm.deployments.store_root import Claimant
from personavlm.deployments.tracing import TracedEngine
from personavlm.deployments.update_metrics import UpdateMetrics
from personavlm.deployments.update_queue import UpdateQueue
from personavlm.memory_store import (
    Add,
    AnyMemory,
    AsOf,
    BusyError,
    Context,
    CoreMemory,
    Delete,
    MemoryKind,
    MemoryStore,
    MovedError,
    NotFoundError,
    OutOfOrderError,
    SearchRequest,
    SearchResult,
    ThreadEntry,
    TimelineEntry,
    Turn,
    TurnDraft,
    Update,
    UserKey,
    Window,
)
from personavlm.memory_store.turn_queue import TurnQueue
from personavlm.platform.config import Config
from personavlm.platform.encoders.build import build_detector, build_matcher
from personavlm.platform.encoders.cached import CachedEncoder
from personavlm.platform.encoders.minilm import MiniLmEncoder
from personavlm.platform.prompts.chosen import chosen_pack
from personavlm.platform.updates import UpdateSettings, UpdateStage

log = logging.getLogger(__name__)

THREADS = 32
OPEN_PATIENCE_S = 30.0  # for a shard that a dying process still has open


class MemoryActor(Keeping, Archives, Personality, Media, Attributed):
    """Owns the shards whose number, by the number of actors, leaves ``number`` as remainder."""

    def __init__(self, config: Config, number: int, claimant: Claimant | None = None) -> None:
        self._config = config.memory
        self._encoder = CachedEncoder(MiniLmEncoder())
        self._courtesy = Courtesy()
        self._detector = build_detector(config.images)
        images, actors = build_matcher(config.images, self._detector), config.memory.actors
        self._stores = open_stores(
            config.memory,
            self._encoder,
            images,
            lambda shard: shard % actors == number,
            OPEN_PATIENCE_S,
            claimant,
        )
        self._prompts = chosen_pack(config)
        self._settings = UpdateSettings(
            session_gap=config.memory.session_gap, personality_rule=config.updates.personality_rule
        )
        self._engine = CourteousEngine(TracedEngine(update_engine(config.engine)), self._courtesy)
        self._stages: dict[MemoryStore, UpdateStage] = {}
        self._turn_queues: dict[MemoryStore, TurnQueue] = {}
        self._queue = UpdateQueue(self._update)
        self._tasks: set[asyncio.Task[object]] = set()
        # Calls wait for the disk more than they compute, and those that wait together commit together.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
        spare_collections()
        days = {str(kind): age for kind, age in config.memory.retention_days.items()}
        shown = UpdateMetrics(self._queue, self._engine, number).keep_showing()
        for work in (self._close_idle(), self._maintain(), self._expire(days), shown):
            self._in_background(work)

    def _of(self, user: UserKey) -> MemoryStore:
        return self._stores.of(user)

    def _stage(self, user: UserKey) -> UpdateStage:
        store = self._of(user)
        if store not in self._stages:
            self._stages[store] = UpdateStage(
                store, self._engine, self._prompts, self._settings, detector=self._detector
            )
        return self._stages[store]

    async def ready(self) -> None:
        """Answers once the shards are open and repaired."""

    # A chat turn

    async def begin(
        self, user: UserKey, text: str, now: datetime | None, allow_past: bool
    ) -> tuple[datetime, Context]:
        """The time of a new message, and the context of its first prompt.

        ``None`` means the present, in the local time of the user's last turn. Raises
        `OutOfOrderError` for a stated time before the newest turn.
        """
        self._courtesy.serving()
        started = await asyncio.to_thread(self._begin, user, now, allow_past)
        # Encoded from now on, the message is ready by the time that its reply asks for a search.
        self._in_background(asyncio.to_thread(self._encoder.encode, [text]))
        return started

    def _begin(self, user: UserKey, now: datetime | None, allow_past: bool) -> tuple[datetime, Context]:
        newest = self._of(user).newest_turn(user)
        if now is None:
            offset = timezone(timedelta(minutes=newest.utc_offset_minutes if newest else 0))
            now = datetime.now(offset)
            now = max(now, newest.event_time.astimezone(offset)) if newest else now
        elif newest and now < newest.event_time and not allow_past:
            raise OutOfOrderError(
                f"{now.isoformat()} is before the user's newest turn at {newest.event_time.isoformat()}"
            )
        return now, self._of(user).context(user, now, self._config.context_tokens)

    async def search(self, user: UserKey, request: SearchRequest) -> SearchResult:
        self._courtesy.serving()
        return await asyncio.to_thread(self._of(user).search, user, request)

    async def append_turn(self, user: UserKey, draft: TurnDraft) -> Turn:
        """Store a turn; returns when it is durable. The update stage follows in its own time."""
        self._courtesy.serving()
        store = self._of(user)
        if store not in self._turn_queues:
            self._turn_queues[store] = TurnQueue(store)
        turn = await self._turn_queues[store].append(user, draft)
        self._queue.notify(user)
        return turn

    async def check_order(
        self, user: UserKey, times: Sequence[tuple[str, datetime]], allow_past: bool
    ) -> None:
        """Raise `OutOfOrderError` where turns (client id, time) cannot be stored in this order."""
        if not allow_past:
            await asyncio.to_thread(self._check_order, user, times)

    def _check_order(self, user: UserKey, times: Sequence[tuple[str, datetime]]) -> None:
        stored = {turn.client_id for turn in self._of(user).turns(user)} - {""}
        newest = self._of(user).newest_turn(user)
        latest = newest.event_time if newest else None
        for time in (time for client_id, time in times if client_id not in stored):
            if latest and time < latest:
                raise OutOfOrderError(
                    f"{time.isoformat()} lies before the newest turn at {latest.isoformat()}"
                )
            latest = time

    async def import_turns(self, user: UserKey, drafts: Sequence[TurnDraft]) -> tuple[list[str], int]:
        """Store recorded turns, all or none; their ids, and how many of them are new."""
        turns, new = await asyncio.to_thread(self._of(user).append_turns, user, drafts)
        self._queue.notify(user)
        return [turn.id for turn in turns], new

    async def found(self, user: UserKey, ids: Sequence[str]) -> list[Found]:
        """Describe what a trajectory found. Ids deleted meanwhile are left out."""
        return await asyncio.to_thread(lambda: [f for f in (self._found(user, i) for i in ids) if f])

    def _found(self, user: UserKey, item_id: str) -> Found | None:
        try:
            if item_id.startswith("t_"):
                turn = self._of(user).turn(user, item_id)
                return Found(turn, "turn", (turn,))
            memory = self._of(user).memory(user, item_id)
        except NotFoundError:
            return None
        turns = (self._of(user).turn(user, turn_id) for turn_id in memory.evidence)
        return Found(memory, memory.kind.value, tuple(turns))

    # What users and operators look at

    async def memories(
        self, user: UserKey, kind: MemoryKind | None, as_of: AsOf | None, include_ended: bool
    ) -> tuple[AnyMemory, ...]:
        return await asyncio.to_thread(
            self._of(user).memories, user, kind, as_of=as_of, include_ended=include_ended
        )

    async def memory(self, user: UserKey, memory_id: str) -> AnyMemory:
        return await asyncio.to_thread(self._of(user).memory, user, memory_id)

    async def history(self, user: UserKey, memory_id: str) -> tuple[AnyMemory, ...]:
        return await asyncio.to_thread(self._of(user).history, user, memory_id)

    async def thread(self, user: UserKey, episode_id: str, as_of: AsOf | None) -> tuple[ThreadEntry, ...]:
        return await asyncio.to_thread(self._of(user).linker.thread, user, episode_id, as_of=as_of)

    async def delete_memory(self, user: UserKey, memory_id: str) -> None:
        await asyncio.to_thread(self._delete_memory, user, memory_id)

    def _delete_memory(self, user: UserKey, memory_id: str) -> None:
        memory = self._of(user).memory(user, memory_id)
        operation = Delete(memory_id, datetime.now(UTC), "deleted by the user")
        self._of(user).apply(user, memory.kind, f"user:{uuid4().hex}", [operation])

    async def set_core(
        self, user: UserKey, facts: Mapping[str, str], event_time: datetime
    ) -> tuple[AnyMemory, ...]:
        """Set core facts by key; all of core memory afterwards."""
        return await asyncio.to_thread(self._set_core, user, facts, event_time)

    def _set_core(
        self, user: UserKey, facts: Mapping[str, str], event_time: datetime
    ) -> tuple[AnyMemory, ...]:
        store = self._of(user)
        known = {m.key: m for m in store.memories(user, MemoryKind.CORE) if isinstance(m, CoreMemory)}
        operations = [
            Update(known[key].id, text, event_time, ())
            if key in known
            else Add(text, event_time, (), key=key)
            for key, text in facts.items()
            if key not in known or known[key].text != text
        ]
        store.apply(user, MemoryKind.CORE, f"import:{uuid4().hex}", operations)
        return store.memories(user, MemoryKind.CORE)

    async def turn(self, user: UserKey, turn_id: str) -> Turn:
        return await asyncio.to_thread(self._of(user).turn, user, turn_id)

    async def timeline(self, user: UserKey, window: Window, limit: int) -> tuple[TimelineEntry, ...]:
        return await asyncio.to_thread(self._of(user).timeline, user, window, limit)

    # The update stage

    async def _update(self, user: UserKey) -> None:
        try:
            with tracing.span("memory.update"):
                await self._stage(user).run(user)
            await self._courtesy.quiet()
            await asyncio.to_thread(self._of(user).index, user)
        except (BusyError, MovedError) as error:
            log.info("the updates of a user stop here: %s", error)

    async def close_sessions(self, user: UserKey, now: datetime) -> tuple[list[str], int]:
        """Close the open session if it is over by ``now``, and finish all updates of this user.

        The closed sessions' ids, and how many turns wait for an update all the same: some that came
        meanwhile.
        """
        closed = await self._stage(user).close_sessions(user, now)
        self._queue.notify(user)
        await self._queue.idle(user)
        progress = await asyncio.to_thread(self._of(user).progress, user)
        waiting = await asyncio.to_thread(self._of(user).turns, user, first_index=progress.turns)
        return closed, len(waiting)

    async def _close_idle(self) -> None:
        """Take up what an earlier process left pending, then look after users who do not return."""
        for user in await asyncio.to_thread(self._stores.pending):
            self._queue.notify(user)
        while True:
            await asyncio.sleep(self._config.idle_check_s)
            for user in await asyncio.to_thread(self._stores.pending):
                if await self._stage(user).due(user, datetime.now(UTC)):
                    self._queue.notify(user)

    def _in_background(self, work: Coroutine[object, object, object]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)  # the event loop itself keeps no task alive
        task.add_done_callback(self._tasks.discard)
