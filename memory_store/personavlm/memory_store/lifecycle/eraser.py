"""Carries erasures out: plans are stored first, so a crash halfway is taken up at the next opening."""

import logging
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime

from personavlm.memory_store.admission import Admission
from personavlm.memory_store.cache import UserCache
from personavlm.memory_store.errors import BusyError, DamagedError, NotFoundError, StoreError
from personavlm.memory_store.lifecycle.erasure import (
    Owner,
    Plan,
    Receipt,
    Scope,
    derived_from,
    for_table,
    images_only_of,
    memory_conditions,
    range_conditions,
)
from personavlm.memory_store.lifecycle.last_erasures import LastErasures
from personavlm.memory_store.lifecycle.words import needles_of, said
from personavlm.memory_store.queries import Window
from personavlm.memory_store.records import UserKey
from personavlm.memory_store.storage.byte_search import Searched, data_files, hides_rows, search_bytes
from personavlm.memory_store.storage.local_objects import LocalObjects
from personavlm.memory_store.storage.shard import Shard
from personavlm.memory_store.storage.table_repair import UNREADABLE

logger = logging.getLogger(__name__)

PLANS, DONE, RECEIPTS = "erasures", "erased", "receipts"
ATTEMPTS = 3  # each failed one means that maintenance replaced files in a table between two looks


class Eraser:
    """Erases from one shard. Nobody whose data is being erased is served meanwhile (``BusyError``).

    Where an erasure fails halfway they stay shut out until it is finished, by the next erasure or at the
    next opening: what they wrote meanwhile would go with the rest.
    """

    def __init__(
        self,
        shard: Shard,
        cache: UserCache,
        admission: Admission,
        last_erasures: LastErasures,
        clock: Callable[[], datetime],
    ) -> None:
        self._shard, self._cache, self._admission, self._clock = shard, cache, admission, clock
        self._last_erasures = last_erasures
        self._failed: list[tuple[Plan, ExitStack]] = []

    def erase_user(self, user: UserKey, scope: Scope = "user") -> Receipt:
        """Everything of one user."""
        with self.erasing([user]) as erase:
            return erase(Plan.of_user(new_id(), user, self._clock(), scope))

    def erase_users(self, users: Sequence[UserKey], scope: Scope) -> Receipt:
        """Everything of several users, each table rewritten once. The receipt names none of them."""
        with self.erasing(users) as erase:
            return erase(Plan.of_users(new_id(), users, self._clock(), scope))

    def erase_tenant(self, tenant: str) -> Receipt:
        """Everything of one tenant in this shard."""
        with self.erasing([tenant]) as erase:
            return erase(Plan.of_tenant(new_id(), tenant, self._clock()))

    def erase_memory(self, user: UserKey, memory_id: str) -> Receipt:
        """One memory in all its versions, with images that belong to nothing else. NotFoundError."""
        with self.erasing([user]) as erase:
            self._shard.check_writer()
            records = self._shard.records(user)
            versions = records.versions(memory_id)
            if not versions:
                raise NotFoundError(f"no memory {memory_id!r}")
            images = images_only_of(records, memory_id)
            plan = Plan(
                id=new_id(),
                scope="memory",
                tenant=user.tenant,
                user=user.user,
                detail=memory_id,
                requested_at=self._clock(),
                conditions=memory_conditions(user, versions[0], images),
                images=images,
            )
            return erase(plan)

    def erase_range(self, user: UserKey, window: Window, scope: Scope = "range") -> Receipt:
        """The turns of a window, every memory and profile that rests on one of them, and their images."""
        with self.erasing([user]) as erase:
            self._shard.check_writer()
            records = self._shard.records(user)
            turns = [turn for turn in records.turns if window.overlaps(turn.event_time, turn.event_time)]
            derived = derived_from(records, turns)
            plan = Plan(
                id=new_id(),
                scope=scope,
                tenant=user.tenant,
                user=user.user,
                detail=f"{window.start} to {window.end}",
                requested_at=self._clock(),
                conditions=range_conditions(user, turns, derived),
                images=derived.images,
            )
            return erase(plan)

    def resume(self) -> None:
        """Finish what an earlier process began. What cannot be finished is logged, its users not served."""
        for key in sorted(key for key, _ in self._shard.objects.list(PLANS)):
            self._failed.append((Plan.model_validate_json(self._shard.objects.get(key)), ExitStack()))
        self._finish_failed()

    def receipts(self, tenant: str) -> tuple[Receipt, ...]:
        """Receipts of a tenant, oldest first."""
        keys = [key for key, _ in self._shard.objects.list(RECEIPTS)]
        found = (Receipt.model_validate_json(self._shard.objects.get(key)) for key in keys)
        own = (receipt for receipt in found if receipt.tenant == tenant)
        return tuple(sorted(own, key=lambda receipt: receipt.finished_at))

    @contextmanager
    def shut(self, everyone: Sequence[UserKey | str]) -> Iterator[None]:
        """Serve these users, and tenants by name, to nobody until the block ends. BusyError."""
        with ExitStack() as stack:
            for who in everyone:
                stack.enter_context(self._admission.shut(who))
            self._cache.barrier()  # whoever was admitted before has finished, and what it wrote is seen
            yield

    @contextmanager
    def erasing(self, everyone: Sequence[UserKey | str]) -> Iterator[Callable[[Plan], Receipt]]:
        """Shut users and tenants out and lend what carries a plan out. BusyError."""
        self._finish_failed()
        with ExitStack() as stack:
            stack.enter_context(self.shut(everyone))

            def erase(plan: Plan) -> Receipt:
                self.note(plan)
                try:
                    return self._finish(plan)
                except BaseException:
                    self._failed.append((plan, stack.pop_all()))
                    raise

            yield erase

    def _finish_failed(self) -> None:
        failed, self._failed = self._failed, []
        for plan, shut in failed:
            try:
                self._finish(plan)
            except (StoreError, *UNREADABLE) as error:
                logger.error("the erasure %s cannot be finished: %s", plan.id, error)
                self._keep_shut(plan, shut)
            else:
                shut.close()

    def _keep_shut(self, plan: Plan, shut: ExitStack) -> None:
        with suppress(BusyError):  # they are shut out by this or another plan already
            shut.enter_context(self.shut([plan.tenant] if plan.scope == "tenant" else self._users(plan)))
        self._failed.append((plan, shut))

    def note(self, plan: Plan) -> None:
        """Store a plan, in place of an older one of its id: unless it is dropped, it is carried out when the
        shard is opened next."""
        self._shard.objects.put(f"{PLANS}/{plan.id}.json", plan.model_dump_json().encode())

    def drop(self, plan: Plan) -> None:
        """Forget a plan that was noted."""
        self._shard.objects.delete(f"{PLANS}/{plan.id}.json")

    def _finish(self, plan: Plan) -> Receipt:
        self._shard.writer.flush()
        needles = needles_of(self._shard, plan.conditions)
        before = {}
        for name, table in self._shard.tables.items():
            with table.kept():
                before[name], _ = data_files(self._shard.objects, name)
        rows = self._purge(plan)
        images = self._erase_images(plan)
        self._forget(plan)
        self._require_no_rows(plan)
        self._require_no_old_files(plan, before)
        searched = self._require_no_bytes(plan, needles)
        if plan.whole and plan.scope != "move":
            self._last_erasures.note([plan.tenant] if plan.scope == "tenant" else self._users(plan))
        receipt = Receipt(
            **plan.model_dump(include={"id", "scope", "tenant", "user", "detail", "requested_at"}),
            finished_at=self._clock(),
            rows=rows,
            images=images,
            searched_files=searched.files,
            searched_bytes=searched.bytes,
        )
        self._shard.objects.put(f"{RECEIPTS}/{plan.id}.json", receipt.model_dump_json().encode())
        if plan.scope != "move":  # it says no more than where the data are: a restored backup has its own map
            self._shard.objects.put(f"{DONE}/{plan.id}.json", plan.model_dump_json().encode())
        self.drop(plan)
        return receipt

    def _purge(self, plan: Plan) -> dict[str, int]:
        conditions = {name: for_table(plan.conditions, name) for name in self._shard.tables}
        rows = self._shard.purge({name: each for name, each in conditions.items() if each})
        for name, table in self._shard.tables.items():
            if hides_rows(self._shard.objects, name):  # since an attempt was cut off: no condition finds them
                table.rewrite()
        return rows

    def _erase_images(self, plan: Plan) -> int:
        """How many. A tenant's go by their folder: who has rows left says nothing of who had images."""
        media = self._shard.media
        if plan.scope == "tenant":
            return media.delete_tenant(plan.tenant)
        if plan.whole:
            return sum(media.delete_user(user) for user in self._users(plan))
        erased = 0
        for owner in plan.owners or (Owner(tenant=plan.tenant, user=plan.user, images=plan.images),):
            stored = {sha256 for sha256, _, _ in media.list(owner.key)}.intersection(owner.images)
            for sha256 in stored:
                media.delete(owner.key, sha256)
            erased += len(stored)
        return erased

    def _users(self, plan: Plan) -> tuple[UserKey, ...]:
        if plan.owners:
            return tuple(owner.key for owner in plan.owners)
        if plan.scope != "tenant":
            return (UserKey(plan.tenant, plan.user),)
        return self._shard.directory.users_of(plan.tenant)

    def _forget(self, plan: Plan) -> None:
        for user in self._users(plan):
            self._cache.forget(user)
            if plan.whole:
                self._shard.directory.forget(user)
            elif not plan.owners:
                self._shard.relearn(user)

    def _require_no_rows(self, plan: Plan) -> None:
        for name, table in self._shard.tables.items():
            condition = for_table(plan.conditions, name)
            if condition and table.count(condition):
                raise DamagedError(f"erasure {plan.id}: the table {name} still holds rows")

    def _require_no_old_files(self, plan: Plan, before: Mapping[str, frozenset[str]]) -> None:
        """No data file may be left but those of the newest versions, whose rows were looked at.

        In a bucket only those that were of a version ``before`` must be gone: another may be that of a writer
        which is about to commit it.
        """
        bucket = not isinstance(self._shard.objects, LocalObjects)
        for name, table in self._shard.tables.items():
            for _ in range(ATTEMPTS):
                with table.kept(), self._shard.writer.settled():
                    _, others = data_files(self._shard.objects, name)
                left = others & before[name] if bucket else others
                if not left:
                    break
                table.forget_versions()
            else:
                raise DamagedError(f"erasure {plan.id}: no version has {', '.join(sorted(left))}")

    def _require_no_bytes(self, plan: Plan, needles: tuple[bytes, ...]) -> Searched:
        searched = search_bytes(self._shard.objects, needles)
        if searched.found:  # somebody else may have said the same words: those may stay
            own = [needle for needle in needles if not said(self._shard, needle)]
            searched = search_bytes(self._shard.objects, own)
        if searched.found:
            raise DamagedError(f"erasure {plan.id}: bytes are left in {', '.join(searched.found)}")
        return searched


def new_id() -> str:
    return uuid.uuid4().hex
