"""How long data are kept, by kind: whatever is older is erased for good, in all its versions.

A turn's age is that of its time on the timeline, a memory's that of its latest version's (of an episode: of
its end). Each kind goes by its own rule: a memory may outlast the turns that it rests on. Of the profile, a
version goes when it is too old; the newest one stays where it says that the user withdrew consent, since
without it consent would be taken for given. Images go with the last that refers to them, links with either
of their episodes. Turns that the update stage has not been through go as well.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import groupby
from typing import Annotated, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from personavlm.memory_store.lifecycle.eraser import Eraser, new_id
from personavlm.memory_store.lifecycle.erasure import Owner, Plan, Receipt, media_of
from personavlm.memory_store.records import AnyMemory, EpisodicMemory, MemoryKind, UserKey
from personavlm.memory_store.storage.shard import Shard
from personavlm.memory_store.storage.sql import any_of, quoted
from personavlm.memory_store.storage.tables import uid_of
from personavlm.memory_store.times import shifted, utc
from personavlm.memory_store.working_set import WorkingSet

AT_ONCE = 20_000
"""Turns, memories and profiles in one erasure: each of them is named in its plan."""

_MEMORY = ("tenant", "user", "id", "version")

Age = Annotated[timedelta, Field(gt=timedelta(0))]
Expired = Mapping[str, Collection[str]]
"""Of one user, by table: ids, and of profiles versions."""


class Retention(BaseModel):
    """The greatest age of each kind; ``None`` keeps it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    turns: Age | None = None
    core: Age | None = None
    semantic: Age | None = None
    episodic: Age | None = None
    procedural: Age | None = None
    profile: Age | None = None


class Found(NamedTuple):
    """Something that may have expired."""

    user: UserKey
    table: str
    id: str


class Expiry:
    """Erases from one shard what is too old. Nobody whose data goes is served meanwhile."""

    def __init__(self, shard: Shard, eraser: Eraser, clock: Callable[[], datetime]) -> None:
        self._shard, self._eraser, self._clock = shard, eraser, clock

    def apply(self, retention: Retention, now: datetime) -> tuple[Receipt, ...]:
        """Erase what is too old at ``now``; a receipt for each rewrite of the tables: one serves many users.

        BusyError where somebody concerned is being erased or moved: what was not reached stays for the next
        call. Errors of erasures.
        """
        cutoffs = {kind: shifted(utc(now), -age) for kind, age in retention if age is not None}
        self._shard.writer.flush()
        found = sorted(item for kind, cutoff in cutoffs.items() for item in self._found(kind, cutoff))
        return tuple(filter(None, [self._erase(users, cutoffs) for users in _batches(found)]))

    def _found(self, kind: str, cutoff: datetime) -> Iterator[Found]:
        """From columns that are in the clear, of everybody; ``_expired`` looks again."""
        id = "version" if kind == "profile" else "id"
        table = self._shard.tables[kind]
        if kind in set(MemoryKind):
            rows = _old_memories(table.columns([*_MEMORY, _time(kind)]), _time(kind), cutoff)
        else:
            rows = table.find(f"event_time < timestamp '{cutoff.isoformat()}'", ["tenant", "user", id])
        for tenant, user, each in zip(
            *(rows[name].to_pylist() for name in ("tenant", "user", id)), strict=True
        ):
            yield Found(UserKey(tenant, user), kind, str(each))

    def _erase(self, users: Collection[UserKey], cutoffs: Mapping[str, datetime]) -> Receipt | None:
        with self._eraser.erasing(tuple(users)) as erase:
            self._shard.writer.flush()
            conditions: dict[str, list[str]] = {}
            owners: list[Owner] = []
            for user in users:
                records = self._shard.records(user)
                expired = _expired(records, cutoffs)
                if any(expired.values()):
                    images = _images_of(records, expired)
                    owners.append(Owner(tenant=user.tenant, user=user.user, images=tuple(sorted(images))))
                    for table, names in _named(expired, images).items():
                        conditions.setdefault(table, []).extend(f"{uid_of(user)} {name}" for name in names)
            if not owners:
                return None
            return erase(
                Plan(
                    id=new_id(),
                    scope="retention",
                    tenant="",
                    detail=", ".join(f"{kind} before {cutoff}" for kind, cutoff in cutoffs.items()),
                    requested_at=self._clock(),
                    conditions=_sql(owners, conditions),
                    owners=tuple(owners),
                )
            )


def _time(kind: str) -> str:
    return "end_time" if kind == MemoryKind.EPISODIC else "event_time"


def _old_memories(rows: pa.Table, time: str, cutoff: datetime) -> pa.Table:
    """Those versions that are the latest and old; marks of steps have no time and are none."""
    latest = rows.group_by(list(_MEMORY[:3])).aggregate([("version", "max")])
    latest = latest.rename_columns([*_MEMORY])
    newest = rows.join(latest, list(_MEMORY), join_type="inner")
    return newest.filter(pc.less(newest[time], pa.scalar(cutoff, newest[time].type)))


def _batches(found: Iterable[Found]) -> Iterator[list[UserKey]]:
    """Users, so many at once as have ``AT_ONCE`` rows that may go; a user's all at once."""
    users: list[UserKey] = []
    size = 0
    for user, own in groupby(found, key=lambda item: item.user):
        count = len(list(own))
        if users and size + count > AT_ONCE:
            yield users
            users, size = [], 0
        users.append(user)
        size += count
    if users:
        yield users


def _expired(records: WorkingSet, cutoffs: Mapping[str, datetime]) -> dict[str, set[str]]:
    """What is too old of one user."""
    expired: dict[str, set[str]] = {}
    if cutoff := cutoffs.get("turns"):
        expired["turns"] = {turn.id for turn in records.turns if turn.event_time < cutoff}
    for kind in MemoryKind:
        if cutoff := cutoffs.get(kind):
            latest = (versions[-1] for versions in records.histories(kind))
            expired[kind] = {memory.id for memory in latest if _end(memory) < cutoff}
    if cutoff := cutoffs.get("profile"):
        newest = records.profiles[-1:]
        kept = {profile.version for profile in newest if not profile.consent}
        old = {profile.version for profile in records.profiles if profile.event_time < cutoff}
        expired["profile"] = {str(version) for version in old - kept}
    return expired


def _end(memory: AnyMemory) -> datetime:
    return memory.end_time if isinstance(memory, EpisodicMemory) else memory.event_time


def _images_of(records: WorkingSet, expired: Expired) -> set[str]:
    """Media to which only what has expired refers."""
    gone: set[str] = set()
    kept: set[str] = set()
    for turn in records.turns:
        into = gone if turn.id in expired.get("turns", ()) else kept
        into.update(media_of(turn))
    for versions in records.histories(MemoryKind.SEMANTIC):
        into = gone if versions[0].id in expired.get(MemoryKind.SEMANTIC, ()) else kept
        for version in versions:
            into.update(media_of(version))
    return gone - kept


def _named(expired: Expired, images: Collection[str]) -> dict[str, list[str]]:
    """By table, what goes of one user; ``vectors`` are of all that has text, and of images."""
    named = {table: sorted(ids) for table, ids in expired.items() if ids}
    named["vectors"] = [id for table, ids in named.items() if table != "profile" for id in ids]
    named["vectors"] += sorted(images)
    if MemoryKind.EPISODIC in named:
        named["links"] = named[MemoryKind.EPISODIC]
    return named


def _sql(owners: Collection[Owner], named: Mapping[str, list[str]]) -> dict[str, str]:
    """Conditions by table. The same id may be another user's too: rows are named by both together, which a
    space keeps apart, since no id holds one."""
    own = any_of("uid", [uid_of(owner.key) for owner in owners])
    columns = {"profile": ("version",), "links": ("episode", "related")}
    conditions = {}
    for table, names in named.items():
        listed = ", ".join(map(quoted, names))
        either = " OR ".join(
            f"concat(uid, ' ', {column}) IN ({listed})" for column in columns.get(table, ("id",))
        )
        if names:
            conditions[table] = f"{own} AND ({either})"
    return conditions
