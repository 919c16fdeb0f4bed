"""Who has rows in which table, and whose turns wait for the update stage: known without loading anybody."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import pyarrow as pa

from personavlm.memory_store.records import UserKey
from personavlm.memory_store.storage.tables import RECORDS, Row

WATCHED: Mapping[str, str] = {"turns": "index", "progress": "consolidated"}
"""Columns beside the owner's that it follows, by table: how many turns there are, how many are done with."""


@dataclass(slots=True)
class Known:
    """One user: the tables with rows of his, and the end of his turns and of those consolidated."""

    tables: set[str] = field(default_factory=set)
    turns: int = 0
    consolidated: int = 0


class Directory:
    """Everybody in a shard, about 300 bytes each. Safe with threads."""

    def __init__(self) -> None:
        self._known: dict[UserKey, Known] = {}
        self._lock = Lock()

    def take_in(self, table: str, columns: pa.Table) -> None:
        """Learn the owners of all rows of a table, from its columns ``columns_of(table)``."""
        keys = ["tenant", "user"]
        watched = WATCHED.get(table)
        found = columns.group_by(keys).aggregate([(watched, "max")] if watched else [])
        ends: Sequence[Any] = found[f"{watched}_max"].to_pylist() if watched else [0] * found.num_rows
        for tenant, user, end in zip(
            found["tenant"].to_pylist(), found["user"].to_pylist(), ends, strict=True
        ):
            self.add(UserKey(tenant, user), table, [{watched or "": end}])

    def add(self, user: UserKey, table: str, rows: Iterable[Row]) -> None:
        """Learn of rows that were written."""
        with self._lock:
            known = self._known.get(user)
            if known is None:
                known = self._known[user] = Known()
            known.tables.add(table)
            for row in rows:
                if table == "turns":
                    known.turns = max(known.turns, row["index"] + 1)
                elif table == "progress":
                    known.consolidated = max(known.consolidated, row["consolidated"])

    def has(self, user: UserKey, table: str) -> bool:
        """Whether the user has, or is about to have, rows in this table."""
        with self._lock:
            known = self._known.get(user)
            return known is not None and table in known.tables

    def knows(self, user: UserKey) -> bool:
        """Whether the user has, or is about to have, rows anywhere."""
        return user in self._known

    def turns(self, user: UserKey) -> int:
        """The index after the user's last turn."""
        with self._lock:
            known = self._known.get(user)
            return known.turns if known else 0

    def users(self) -> tuple[UserKey, ...]:
        """Everyone with a record, in order of tenant and name."""
        with self._lock:
            found = [user for user, known in self._known.items() if not known.tables.isdisjoint(RECORDS)]
        return tuple(sorted(found, key=lambda user: (user.tenant, user.user)))

    def users_of(self, tenant: str) -> tuple[UserKey, ...]:
        """Everyone of a tenant."""
        with self._lock:
            return tuple(user for user in self._known if user.tenant == tenant)

    def pending(self) -> tuple[UserKey, ...]:
        """Everyone with turns that the update stage has not consolidated."""
        with self._lock:
            return tuple(user for user, known in self._known.items() if known.consolidated < known.turns)

    def forget(self, user: UserKey) -> None:
        """Nothing of this user is stored any more."""
        with self._lock:
            self._known.pop(user, None)


def columns_of(table: str) -> list[str]:
    """The columns that ``take_in`` reads."""
    return ["tenant", "user", *([WATCHED[table]] if table in WATCHED else [])]
