"""Erasure that reaches everything, survives a crash halfway, and is verified before it is confirmed.

What is to go is first written down as SQL conditions on the tables (ids, no content). Then the tables are
rewritten without those rows, older versions and their files removed, the journal cleaned, media that
nothing refers to any more deleted, and the whole shard searched, in rows and in bytes. Only then is the
receipt stored. An erasure that was begun and not finished is taken up when the shard is opened again.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from personavlm.memory_store.records import AnyMemory, MemoryKind, Profile, SemanticMemory, Turn, UserKey
from personavlm.memory_store.storage.sql import any_of, quoted
from personavlm.memory_store.storage.tables import uid_of
from personavlm.memory_store.working_set import WorkingSet

Scope = Literal["memory", "range", "user", "tenant", "retention", "move"]


class Owner(BaseModel):
    """One of the users of a plan that is of many, and the hashes of those of his images that go."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tenant: str
    user: str
    images: tuple[str, ...] = ()

    @property
    def key(self) -> UserKey:
        """Who it is."""
        return UserKey(self.tenant, self.user)


class Plan(BaseModel):
    """What one erasure takes away. ``conditions`` are SQL by table; ``*`` stands for every table.

    ``images`` are hashes of media to delete unless a row still refers to them; where ``whole`` is set, all
    media of its users go. A plan of many users has them in ``owners``, and neither ``tenant`` nor ``user``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    scope: Scope
    tenant: str
    user: str = ""
    detail: str = ""
    requested_at: datetime
    conditions: dict[str, str]
    images: tuple[str, ...] = ()
    whole: bool = False
    owners: tuple[Owner, ...] = ()

    @classmethod
    def of_user(cls, id: str, user: UserKey, now: datetime, scope: Scope = "user") -> Self:
        """Everything of one user."""
        return cls(
            id=id,
            scope=scope,
            tenant=user.tenant,
            user=user.user,
            requested_at=now,
            conditions={"*": f"uid = {quoted(uid_of(user))}"},
            whole=True,
        )

    @classmethod
    def of_users(cls, id: str, users: Iterable[UserKey], now: datetime, scope: Scope) -> Self:
        """Everything of several users."""
        users = tuple(users)
        return cls(
            id=id,
            scope=scope,
            tenant="",
            requested_at=now,
            conditions={"*": any_of("uid", [uid_of(user) for user in users])},
            whole=True,
            owners=tuple(Owner(tenant=user.tenant, user=user.user) for user in users),
        )

    @classmethod
    def of_tenant(cls, id: str, tenant: str, now: datetime) -> Self:
        """Everything of one tenant in this shard."""
        condition = {"*": f"tenant = {quoted(tenant)}"}
        return cls(id=id, scope="tenant", tenant=tenant, requested_at=now, conditions=condition, whole=True)


class Receipt(BaseModel):
    """What was erased and how that was verified. ``rows`` by table; ``searched_*`` found nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    scope: Scope
    tenant: str
    user: str = ""
    detail: str = ""
    requested_at: datetime
    finished_at: datetime
    rows: dict[str, int]
    images: int
    searched_files: int
    searched_bytes: int


class Derived(BaseModel):
    """Ids of what rests on some turns, and the media of all of it."""

    memories: dict[MemoryKind, list[str]]
    sources: list[str]
    profiles: list[int]
    images: tuple[str, ...]


def media_of(record: Turn | AnyMemory) -> tuple[str, ...]:
    """SHA-256 of all media that belong to a record. Out of which image a crop was cut is no such thing: that
    image belongs to its turn."""
    if isinstance(record, Turn):
        images, attachments = record.images, record.attachments
        return (*(image.sha256 for image in images), *(media.sha256 for media in attachments))
    return tuple(image.sha256 for image in record.images) if isinstance(record, SemanticMemory) else ()


def derived_from(working_set: WorkingSet, turns: Iterable[Turn]) -> Derived:
    """What is known through these turns: a memory goes if any version of it rests on one of them, even if
    another version does not, since it may repeat what was said there."""
    turns = tuple(turns)
    ids = {turn.id for turn in turns}
    memories = {
        kind: [
            versions[0].id
            for versions in working_set.histories(kind)
            if any(_rests_on(version, ids) for version in versions)
        ]
        for kind in MemoryKind
    }
    gone = {id for group in memories.values() for id in group}
    versions = (version for id in memories[MemoryKind.SEMANTIC] for version in working_set.versions(id))
    images = [sha256 for record in (*turns, *versions) for sha256 in media_of(record)]
    kept = set(_images_kept(working_set, ids, gone))
    return Derived(
        memories=memories,
        sources=[f"turn:{id}" for id in ids],
        profiles=[profile.version for profile in working_set.profiles if _of_turns(profile, ids)],
        images=tuple(sorted(set(images) - kept)),
    )


def _rests_on(version: AnyMemory, turns: set[str]) -> bool:
    return not turns.isdisjoint(version.evidence) or version.source.removeprefix("turn:") in turns


def _of_turns(profile: Profile, turns: set[str]) -> bool:
    return not turns.isdisjoint(profile.evidence)


def _images_kept(working_set: WorkingSet, turns: set[str], memories: set[str]) -> Iterable[str]:
    """Media that something which stays refers to."""
    for turn in working_set.turns:
        if turn.id not in turns:
            yield from media_of(turn)
    for versions in working_set.histories(MemoryKind.SEMANTIC):
        for version in versions:
            if version.id not in memories:
                yield from media_of(version)


def range_conditions(user: UserKey, turns: Iterable[Turn], derived: Derived) -> dict[str, str]:
    """SQL by table for turns and what was derived from them; ``vectors`` stands for all such tables."""
    own = f"uid = {quoted(uid_of(user))} AND "
    turn_ids = [turn.id for turn in turns]
    conditions = {"turns": own + any_of("id", turn_ids)}
    for kind, ids in derived.memories.items():
        conditions[kind] = own + f"({any_of('id', ids)} OR {any_of('source', derived.sources)})"
    versions = ", ".join(map(str, derived.profiles))
    conditions["profile"] = own + (f"version IN ({versions})" if versions else "false")
    every = turn_ids + [id for ids in derived.memories.values() for id in ids] + list(derived.images)
    conditions["vectors"] = own + any_of("id", every)
    episodes = derived.memories[MemoryKind.EPISODIC]
    conditions["links"] = own + f"({any_of('episode', episodes)} OR {any_of('related', episodes)})"
    return conditions


def memory_conditions(user: UserKey, memory: AnyMemory, images: Iterable[str]) -> dict[str, str]:
    """SQL by table for one memory in all its versions."""
    own = f"uid = {quoted(uid_of(user))} AND "
    id = quoted(memory.id)
    return {
        memory.kind: own + f"id = {id}",
        "vectors": own + any_of("id", [memory.id, *images]),
        "links": own + f"(episode = {id} OR related = {id})",
    }


def images_only_of(working_set: WorkingSet, memory_id: str) -> tuple[str, ...]:
    """Images of a memory that no turn and no other memory refers to."""
    own = {sha256 for version in working_set.versions(memory_id) for sha256 in media_of(version)}
    return tuple(sorted(own - set(_images_kept(working_set, set(), {memory_id}))))


def for_table(conditions: Mapping[str, str], table: str) -> str | None:
    """The condition for one table, None where none of its rows go."""
    if table.startswith("vectors_"):
        return conditions.get("vectors", conditions.get("*"))
    return conditions.get(table, conditions.get("*"))
