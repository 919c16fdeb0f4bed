"""One user's, or one tenant's, data out of a store and into one; users between the shards of a store.

Archives are described in ``archive.py``. An import shows whole or not at all: what would undo it is stored
before its first row, as an erasure, and is taken away, or turned into the erasure of what was there before,
after its last. What a crash left half is gone when the store is opened again.
"""

import io
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc

from personavlm.memory_store.cache import UserCache
from personavlm.memory_store.encoder import token_dim
from personavlm.memory_store.errors import BusyError, InvalidError, NotFoundError
from personavlm.memory_store.lifecycle.archive import Image, Manifest, Sink, write_tenant, write_user
from personavlm.memory_store.lifecycle.archive_lines import LINES
from personavlm.memory_store.lifecycle.archive_reader import TenantArchive, UserArchive, VectorForms
from personavlm.memory_store.lifecycle.eraser import Eraser, new_id
from personavlm.memory_store.lifecycle.erasure import Plan
from personavlm.memory_store.records import UserKey
from personavlm.memory_store.storage.layout import bucket_of
from personavlm.memory_store.storage.shard import Shard
from personavlm.memory_store.storage.sql import quoted
from personavlm.memory_store.storage.tables import owner_columns, uid_of
from personavlm.memory_store.storage.vectors import vectors_name

_ORDER = {"turns": "index", "profile": "version", "links": "recorded_at"}
"""The column that says in which order the rows of a table were written, "sequence" for all others."""


class Transfer:
    """Into and out of one shard."""

    def __init__(self, shard: Shard, cache: UserCache, eraser: Eraser, clock: Callable[[], datetime]) -> None:
        self._shard, self._cache, self._eraser, self._clock = shard, cache, eraser, clock
        text, image = shard.text_encoder, shard.image_encoder
        self._forms: VectorForms = {
            vectors_name("texts", text): (text.dim, token_dim(text)),
            vectors_name("images", image): (image.dim, token_dim(image)),
        }

    # one user

    def export_user(self, user: UserKey, file: Sink, *, vectors: bool = False) -> Manifest:
        """Write the archive of a user as it is now; an empty one of a user without data.

        BusyError where something of it is erased meanwhile: what was written is no archive then.
        """
        with self._cache.hold(user):
            tables, images = self._tables(user, vectors), self._images(user)
        return write_user(file, user, self._clock(), tables, self._loaded(user, images))

    def import_user(self, user: UserKey, file: IO[bytes], *, replace: bool = False) -> Manifest:
        """Take in the archive of a user, of whatever name, as this one; ids stay. What was taken in.

        The user must have no data, unless what there is may be replaced. He is served to nobody meanwhile.
        InvalidError where he has data, ArchiveError (an InvalidError too) where the archive cannot be taken
        in: nothing has changed then, nor if this fails in any other way.
        """
        with UserArchive(file) as archive:
            archive.check(self._forms)
            with self._cache.hold(user):  # whether he is served here
                pass
            self._take_in(user, archive, replace)
            return archive.manifest

    # one tenant

    def export_tenant(self, tenant: str, file: Sink, *, vectors: bool = False) -> Manifest:
        """Write the archive of those users of a tenant who are in this shard, one by one."""
        users = [user for user in self._shard.directory.users() if user.tenant == tenant]
        writers = (partial(self._export_to, user, vectors) for user in users)
        return write_tenant(file, tenant, self._clock(), writers, vectors=vectors)

    def _export_to(self, user: UserKey, vectors: bool, file: Sink) -> None:
        self.export_user(user, file, vectors=vectors)

    def import_tenant(self, tenant: str, file: IO[bytes], *, replace: bool = False) -> tuple[UserKey, ...]:
        """Take in the archive of a tenant, of whatever name, as this one; its users.

        Everything is checked first. Each user is then taken in whole or not at all; if one fails, those
        before him stay. Errors: ``import_user``.
        """
        with TenantArchive(file) as archive:
            users = []
            for one in archive.users():
                one.check(self._forms)
                users.append(UserKey(tenant, one.manifest.user))
            if len(set(users)) < len(users):
                raise InvalidError("the archive holds one user twice")
            for user in users:
                with self._cache.hold(user):  # whether he is served here
                    if not replace:
                        self._require_nothing(user)
            for user, one in zip(users, archive.users(), strict=True):
                self._take_in(user, one, replace)
        return tuple(users)

    # buckets, while nobody serves their users

    def users_in(self, buckets: Collection[int]) -> tuple[UserKey, ...]:
        """Everyone in this shard whose bucket is one of these."""
        return tuple(user for user in self._shard.directory.users() if bucket_of(user) in buckets)

    def take_out(self, user: UserKey) -> bytes:
        """The archive of a user whom nobody serves, vectors included."""
        archive = io.BytesIO()
        images = self._loaded(user, self._images(user))
        write_user(archive, user, self._clock(), self._tables(user, vectors=True), images)
        return archive.getvalue()

    def take_in(self, user: UserKey, archive: bytes) -> None:
        """Take in what another shard gave out, in place of what an earlier attempt left here."""
        with UserArchive(io.BytesIO(archive), limited=False) as opened:
            opened.check(self._forms)
            self._take_in(user, opened, replace=True)

    def let_go(self, buckets: Collection[int]) -> None:
        """Erase everyone whose bucket is one of these: they are at home elsewhere now."""
        if users := self.users_in(buckets):
            self._eraser.erase_users(users, "move")

    # out

    def _tables(self, user: UserKey, vectors: bool) -> dict[str, pa.Table]:
        tables = {name: _sorted(name, self._shard.read(user, name)) for name in LINES}
        if vectors:
            tables |= {name: self._shard.read(user, name).sort_by("id") for name in self._forms}
        return tables

    def _images(self, user: UserKey) -> list[tuple[str, str]]:
        return sorted((sha256, extension) for sha256, extension, _ in self._shard.media.list(user))

    def _loaded(self, user: UserKey, images: Sequence[tuple[str, str]]) -> Iterator[Image]:
        for sha256, extension in images:
            try:
                yield Image(sha256, extension, self._shard.media.get(user, sha256))
            except NotFoundError as error:
                raise BusyError("something of this user was erased meanwhile; export again") from error

    # in

    def _take_in(self, user: UserKey, archive: UserArchive, replace: bool) -> None:
        with self._eraser.erasing([user]) as erase:
            if not replace:
                self._require_nothing(user)
            self._shard.writer.flush()
            undo, clear = self._plans(user, archive.manifest.images)
            self._eraser.note(undo)
            try:
                self._write(user, archive)
            except BaseException:
                erase(undo)
                raise
            self._cache.forget(user)
            if clear:
                erase(clear)
            else:
                self._eraser.drop(undo)

    def _plans(self, user: UserKey, brought: frozenset[str]) -> tuple[Plan, Plan | None]:
        """What takes away all that is written from now on, and what takes away all that is there already."""
        undo = Plan.of_user(new_id(), user, self._clock(), "move")
        uid = quoted(uid_of(user))
        rows = [table.find(f"uid = {uid}", ["seq"])["seq"] for table in self._shard.tables.values()]
        last = pc.max(pa.chunked_array([chunk for each in rows for chunk in each.chunks], pa.int64())).as_py()
        before = {sha256 for sha256, _ in self._images(user)}
        if last is None and not before:
            return undo, None

        def rows_and_images(comparison: str, images: Collection[str]) -> Plan:
            condition = {"*": f"uid = {uid} AND seq {comparison} {last or 0}"}
            update = {"conditions": condition, "images": tuple(sorted(images)), "whole": False}
            return undo.model_copy(update=update)

        return rows_and_images(">", brought - before), rows_and_images("<=", before - brought)

    def _write(self, user: UserKey, archive: UserArchive) -> None:
        for image in archive.images():
            self._shard.media.put(user, image.data, image.media_type)
        owner = owner_columns(user)
        for table, lines in archive.rows(self._forms):
            rows = [owner | line.row() for line in lines]
            self._shard.append(user, table, rows, kept=table in LINES)
        self._shard.writer.flush()

    def _require_nothing(self, user: UserKey) -> None:
        if any(self._shard.directory.has(user, table) for table in LINES) or self._images(user):
            raise InvalidError(
                "the user has data here already: import as another user, or let it be replaced (replace=True)"
            )


def _sorted(name: str, rows: pa.Table) -> pa.Table:
    """The rows of a table in the order in which they were written."""
    return rows.sort_by(_ORDER.get(name, "sequence"))
