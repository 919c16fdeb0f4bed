"""A copy of a shard while it serves, and back: whole, verified, and only into an empty place.

A backup holds what was acknowledged before it was asked for, and no part of a write: the journal is moved
into the tables, and what these consist of then is listed while nothing more goes in (in durability "commit",
writers wait for that long; in "journal" nobody does). The files themselves are copied while the shard goes
on: they never change, and none goes before it is copied. An erasure that comes meanwhile waits for that.

Beside the tables it holds media, receipts and what erasures left undone, and ``backup.json``, written last,
with size and SHA-256 of every file. It does not hold the keys of encryption at rest (``keys/``): they are to
be kept apart, and without them what was sealed cannot be read.

Erasure does not reach into backups: what is erased later is still in older ones, for as long as they are
kept. ``restore`` takes the erasures of the shard since then (``erasures_done``; keep a copy of its folder
``erased/`` that outlives the shard) and has them done again before anybody is served. Alternatively,
dropping a tenant's key makes its data in all backups unreadable.

The backup of a whole store is that of every shard in a folder of its own, the map of buckets, and
``store.json``.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack
from datetime import datetime
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from personavlm.memory_store.errors import BusyError, DamagedError, InvalidError
from personavlm.memory_store.lifecycle.archive_lines import Sha256
from personavlm.memory_store.lifecycle.eraser import DONE, PLANS, RECEIPTS, new_id
from personavlm.memory_store.lifecycle.erasure import Plan
from personavlm.memory_store.records import UserKey
from personavlm.memory_store.storage.fence import KEY as EPOCH
from personavlm.memory_store.storage.layout import KEY as LAYOUT
from personavlm.memory_store.storage.layout import Layout
from personavlm.memory_store.storage.objects import MissingError, Objects
from personavlm.memory_store.storage.shard import UNFINISHED, Shard

FORMAT = 1
AnyManifest = TypeVar("AnyManifest", bound=BaseModel)
MANIFEST, STORE_MANIFEST = "backup.json", "store.json"
_HINT = "latest_version_hint.json"  # of a table's newest version: it changes, and nothing needs it


class File(BaseModel):
    """One object of a backup."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bytes: Annotated[int, Field(ge=0)]
    sha256: Sha256


class BackupManifest(BaseModel):
    """What the backup of a shard consists of. ``files`` by key within the shard."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Annotated[int, Field(ge=FORMAT, le=FORMAT)] = FORMAT
    taken_at: datetime
    files: dict[str, File]

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.bytes for file in self.files.values())


class StoreManifest(BaseModel):
    """What the backup of a store consists of. ``shards`` are SHA-256 of their manifests, by folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Annotated[int, Field(ge=FORMAT, le=FORMAT)] = FORMAT
    taken_at: datetime
    shards: dict[str, Sha256]
    layout: File


class Backups:
    """Copies of one shard."""

    def __init__(self, shard: Shard, clock: Callable[[], datetime]) -> None:
        self._shard, self._clock = shard, clock

    def backup(self, target: Objects, folder: str = "") -> BackupManifest:
        """Copy the shard into a folder of ``target``, or into all of it, where nothing is yet: InvalidError.

        Should this raise, what was copied is no backup.
        """
        _require_empty(target, folder)
        files: dict[str, File] = {}
        with ExitStack() as everything:
            tables = {name: everything.enter_context(ExitStack()) for name in self._shard.tables}
            for name, stack in tables.items():
                stack.enter_context(self._shard.tables[name].kept())
            with self._shard.writer.settled():
                taken_at = self._clock()
                keys = {name: self._keys(f"{name}.lance") for name in tables}
                beside = {key: self._shard.objects.get(key) for key in (EPOCH, *self._keys(PLANS))}
                keys_beside = [*self._keys(RECEIPTS), *self._keys(DONE)]
            for key, data in beside.items():
                files[key] = _put(target, _in(folder, key), [data])
            for name, stack in tables.items():
                files |= self._copy(keys[name], target, folder)
                stack.close()
        files |= self._copy(keys_beside, target, folder)
        files |= self._copy_media(target, folder)
        manifest = BackupManifest(taken_at=taken_at, files=files)
        target.put(_in(folder, MANIFEST), manifest.model_dump_json().encode())
        return manifest

    def _keys(self, folder: str) -> list[str]:
        keys = (key for key, _ in self._shard.objects.list(folder))
        return sorted(key for key in keys if not key.endswith((_HINT, ".corrupt")))

    def _copy(self, keys: Iterable[str], target: Objects, folder: str) -> dict[str, File]:
        return {key: _put(target, _in(folder, key), self._shard.objects.get_parts(key)) for key in keys}

    def _copy_media(self, target: Objects, folder: str) -> dict[str, File]:
        """Images that are there now: every row that was copied is younger than its image."""
        files: dict[str, File] = {}
        for key in self._keys("media"):
            try:
                image = self._shard.objects.get(key)
            except MissingError:  # erased meanwhile
                continue
            files[key] = _put(target, _in(folder, key), [image])
        return files


def erasures_done(objects: Objects) -> tuple[Plan, ...]:
    """The erasures that a shard has finished, oldest first."""
    return _plans(objects, [key for key, _ in objects.list(DONE)])


def erasures_of_store(objects: Objects) -> tuple[Plan, ...]:
    """The same of all shards of a store, or of a copy of their folders ``erased/``."""
    return _plans(objects, [key for key, _ in objects.list("") if key.split("/")[1:2] == [DONE]])


def _plans(objects: Objects, keys: Iterable[str]) -> tuple[Plan, ...]:
    plans = [Plan.model_validate_json(objects.get(key)) for key in keys]
    return tuple(sorted(plans, key=lambda plan: plan.requested_at))


def restore(
    source: Objects, target: Objects, folder: str = "", erased: Iterable[Plan] = ()
) -> BackupManifest:
    """Copy a shard's backup back, from a folder of ``source`` to the same of ``target``, which must be empty.

    ``erased`` are erasures done since: those that the backup does not know of are done again when the shard
    is opened. InvalidError where the place is not empty; DamagedError where the backup was not written to
    its end or is not what it was: what was restored by then cannot be opened.
    """
    manifest = _manifest_of(BackupManifest, source, _in(folder, MANIFEST))
    _require_empty(target, folder)
    target.put(_in(folder, UNFINISHED), b"")
    for key, file in manifest.files.items():
        _copy_verified(source, target, _in(folder, key), file)
    known = {key.rpartition("/")[2] for key in manifest.files if key.startswith((f"{DONE}/", f"{PLANS}/"))}
    for plan in _together([plan for plan in erased if f"{plan.id}.json" not in known]):
        target.put(_in(folder, f"{PLANS}/{plan.id}.json"), plan.model_dump_json().encode())
    target.delete(_in(folder, UNFINISHED))
    return manifest


def _together(plans: Collection[Plan]) -> list[Plan]:
    """The same erasures, those of whole users as one: each table is then rewritten once for all of them."""
    of_users = [plan for plan in plans if plan.scope == "user"]
    others = [plan for plan in plans if plan.scope != "user"]
    if not of_users:
        return others
    users = {user for plan in of_users for user in _users_of(plan)}
    newest = max(plan.requested_at for plan in of_users)
    return [Plan.of_users(new_id(), sorted(users), newest, "user"), *others]


def _users_of(plan: Plan) -> tuple[UserKey, ...]:
    return tuple(owner.key for owner in plan.owners) or (UserKey(plan.tenant, plan.user),)


def finish_store_backup(
    root: Objects, target: Objects, shards: Collection[str], before: Layout, now: datetime
) -> StoreManifest:
    """Make a whole of the backups of all shards in ``target``, each in the folder of its name.

    ``before`` is the map of buckets as it was before the first of them. BusyError where buckets moved since:
    a user may be in two of them, or in none.
    """
    data = root.get(LAYOUT)
    if before.moving or Layout.model_validate_json(data) != before:
        raise BusyError("buckets moved during the backup; take it again")
    manifests = {name: _sha256(target.get(_in(name, MANIFEST))) for name in shards}
    manifest = StoreManifest(taken_at=now, shards=manifests, layout=_put(target, LAYOUT, [data]))
    target.put(STORE_MANIFEST, manifest.model_dump_json().encode())
    return manifest


def restore_store(source: Objects, target: Objects, erased: Iterable[Plan] = ()) -> StoreManifest:
    """Copy the backup of a whole store back into an empty place. ``erased`` and errors as of ``restore``.

    An erasure goes to every shard: the map may have been another when it was done.
    """
    manifest = _manifest_of(StoreManifest, source, STORE_MANIFEST)
    _require_empty(target, "")
    erased = tuple(erased)
    for name in manifest.shards:  # before anything else: an absent shard would be taken for an empty one
        target.put(_in(name, UNFINISHED), b"")
    _copy_verified(source, target, LAYOUT, manifest.layout)
    for name, sha256 in manifest.shards.items():
        if _sha256(source.get(_in(name, MANIFEST))) != sha256:
            raise DamagedError(f"{name}/{MANIFEST} in {source.uri} is not that of this backup")
        restore(source, target, name, erased)
    return manifest


def _manifest_of(type_: type[AnyManifest], source: Objects, key: str) -> AnyManifest:
    try:
        return type_.model_validate_json(source.get(key))
    except MissingError as error:
        raise DamagedError(f"{source.uri} holds no {key}: no backup, or none written to its end") from error
    except ValidationError as error:
        raise DamagedError(f"{key} in {source.uri} is not the list of a backup: {error}") from error


def _require_empty(target: Objects, folder: str) -> None:
    for key, _ in target.list(folder):
        if key != _in(folder, UNFINISHED):
            raise InvalidError(f"{target.uri} is not empty: it holds {key}")


def _put(target: Objects, key: str, parts: Iterable[bytes]) -> File:
    digest, size = hashlib.sha256(), 0

    def hashed() -> Iterator[bytes]:
        nonlocal size
        for part in parts:
            digest.update(part)
            size += len(part)
            yield part

    target.put_parts(key, hashed())
    return File(bytes=size, sha256=digest.hexdigest())


def _copy_verified(source: Objects, target: Objects, key: str, file: File) -> None:
    if source.size(key) is None:
        raise DamagedError(f"{key} is gone from {source.uri}")
    if _put(target, key, source.get_parts(key)) != file:
        raise DamagedError(f"{key} in {source.uri} is not what was copied there")


def _in(folder: str, key: str) -> str:
    return f"{folder}/{key}" if folder else key


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
