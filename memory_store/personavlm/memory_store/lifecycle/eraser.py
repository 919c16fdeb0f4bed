"""Carries erasures out: plans are stored first, so a crash halfway is taken up at the next opening."""

import logging
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime

from personavlm.memory_store.admission import Admission
from personavlm.memory_store.cache import UserCache
from personavlm.memory_store.errors import DamagedError, NotFoundError
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
from personavlm.memory_store.queries import Window
from personavlm.memory_store.records import UserKey
from personavlm.memory_store.storage.byte_search import Searched, search_bytes
from personavlm.memory_store.storage.lance import quoted
from personavlm.memory_store.storage.shard import Shard

logger = logging.getLogger(__name__)

PLANS, RECEIPTS = "erasures", "receipts"
SEARCHED = (
    ("turns", "user_text"),
    ("turns", "assistant_text"),
    ("core", "text"),
    ("semantic", "text"),
    ("episodic", "text"),
    ("procedural", "text"),
)
"""Columns whose texts are looked for in the files after they were erased."""
NEEDLES, SHORTEST_NEEDLE, LONGEST_NEEDLE = 32, 24, 80


class Eraser:
    """Erases from one shard. Nobody whose data is being erased is served meanwhile (``BusyError``)."""

    def __init__(
        self, shard: Shard, cache: UserCache, admission: Admission, clock: Callable[[], datetime]
    ) -> None:
        self._shard, self._cache, self._admission, self._clock = shard, cache, admission, clock

    def erase_user(self, user: UserKey, scope: Scope = "user") -> Receipt:
        """Everything of one user."""
        with self.shut([user]):
            return self.carry_out(Plan.of_user(new_id(), user, self._clock(), scope))

    def erase_users(self, users: Sequence[UserKey], scope: Scope) -> Receipt:
        """Everything of several users, each table rewritten once. The receipt names none of them."""
        with self.shut(users):
            return self.carry_out(Plan.of_users(new_id(), users, self._clock(), scope))

    def erase_tenant(self, tenant: str) -> Receipt:
        """Everything of one tenant in this shard."""
        with self.shut([tenant]):
            return self.carry_out(Plan.of_tenant(new_id(), tenant, self._clock()))

    def erase_memory(self, user: UserKey, memory_id: str) -> Receipt:
        """One memory in all its versions, with images that belong to nothing else. NotFoundError."""
        with self.shut([user]):
            records = self._shard.load(user).records
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
            return self.carry_out(plan)

    def erase_range(self, user: UserKey, window: Window, scope: Scope = "range") -> Receipt:
        """The turns of a window, every memory and profile that rests on one of them, and their images."""
        with self.shut([user]):
            records = self._shard.load(user).records
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
            return self.carry_out(plan)

    def resume(self) -> tuple[Receipt, ...]:
        """Finish what an earlier process began."""
        keys = sorted(key for key, _ in self._shard.objects.list(PLANS))
        return tuple(self._finish(Plan.model_validate_json(self._shard.objects.get(key))) for key in keys)

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

    def note(self, plan: Plan) -> None:
        """Store a plan, in place of an older one of its id: unless it is dropped, it is carried out when the
        shard is opened next."""
        self._shard.objects.put(f"{PLANS}/{plan.id}.json", plan.model_dump_json().encode())

    def drop(self, plan: Plan) -> None:
        """Forget a plan that was noted."""
        self._shard.objects.delete(f"{PLANS}/{plan.id}.json")

    def carry_out(self, plan: Plan) -> Receipt:
        """Erase by a plan. Nobody whose data goes may be served meanwhile. DamagedError."""
        self.note(plan)
        return self._finish(plan)

    def _finish(self, plan: Plan) -> Receipt:
        self._shard.writer.flush()
        needles = tuple(self._needles(plan))
        conditions = {name: for_table(plan.conditions, name) for name in self._shard.tables}
        rows = self._shard.purge({name: each for name, each in conditions.items() if each})
        images = self._erase_images(plan)
        self._forget(plan)
        searched = self._verify(plan, needles)
        receipt = Receipt(
            **plan.model_dump(include={"id", "scope", "tenant", "user", "detail", "requested_at"}),
            finished_at=self._clock(),
            rows=rows,
            images=images,
            searched_files=searched.files,
            searched_bytes=searched.bytes,
        )
        self._shard.objects.put(f"{RECEIPTS}/{plan.id}.json", receipt.model_dump_json().encode())
        self.drop(plan)
        return receipt

    def _needles(self, plan: Plan) -> Iterable[bytes]:
        """Some texts of what goes, to look for afterwards: ids alone would prove little."""
        texts: list[str] = []
        for name, column in SEARCHED:
            condition = for_table(plan.conditions, name)
            if condition:
                rows = self._shard.tables[name].find(condition, [column])
                texts += [text for text in rows[column].to_pylist() if text and len(text) >= SHORTEST_NEEDLE]
        longest = sorted(set(texts), key=len, reverse=True)[:NEEDLES]
        return [text.encode()[:LONGEST_NEEDLE] for text in longest]

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

    def _verify(self, plan: Plan, needles: tuple[bytes, ...]) -> Searched:
        """Look again, in rows and in bytes. DamagedError where something is left: nothing is confirmed."""
        for name, table in self._shard.tables.items():
            condition = for_table(plan.conditions, name)
            if condition and table.count(condition):
                raise DamagedError(f"erasure {plan.id}: the table {name} still holds rows")
        searched = search_bytes(self._shard.objects, needles)
        if searched.found:  # somebody else may have said the same words: those may stay
            own = [needle for needle in needles if not self._said_elsewhere(needle)]
            searched = search_bytes(self._shard.objects, own)
        if searched.found:
            raise DamagedError(f"erasure {plan.id}: bytes are left in {', '.join(searched.found)}")
        return searched

    def _said_elsewhere(self, needle: bytes) -> bool:
        words = quoted(needle.decode(errors="ignore"))
        return any(
            self._shard.tables[name].count(f"strpos({column}, {words}) > 0") for name, column in SEARCHED
        )


def new_id() -> str:
    return uuid.uuid4().hex
