"""One user's cold turns in the tables of a shard."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from personavlm.memory_store.cold_turns import LISTED, ColdTurns, TermKeys
from personavlm.memory_store.encoder import Vectors
from personavlm.memory_store.records import Turn
from personavlm.memory_store.retrieval.index import texts_of
from personavlm.memory_store.retrieval.lexical import term_keys, terms
from personavlm.memory_store.storage.tables import record_of

NAMED_AT_ONCE = 500
"""Turns that a condition names one by one; of more, all between the first and the last are read."""

Scan = Callable[[Sequence[str], str], Iterator[pa.Table]]
"""Some columns of a user's turns that meet an SQL condition, and of all that are on their way."""


class UserColdRows:
    """Reads when asked; ``scan`` reads turns, ``vectors`` the vectors of all texts."""

    def __init__(
        self, scan: Scan, vectors: Callable[[], Iterator[tuple[list[str], list[str], Vectors]]]
    ) -> None:
        self._scan, self.vectors = scan, vectors

    def turns(self, indexes: Sequence[int]) -> list[Turn]:
        """Turns by index, in any order."""
        if len(indexes) <= NAMED_AT_ONCE:
            condition = f"`index` IN ({', '.join(map(str, indexes))})"
        else:
            condition = f"`index` BETWEEN {min(indexes)} AND {max(indexes)}"
        wanted, found = pa.array(indexes), {}
        for rows in self._scan((), condition):
            own = rows.filter(pc.is_in(rows["index"], wanted))
            found.update({row["index"]: record_of(Turn, row) for row in own.to_pylist()})
        return list(found.values())

    def terms(self, below: int) -> Iterator[tuple[str, TermKeys]]:
        """Id and terms, by key, of each turn below an index, in any order; some may come twice."""
        for rows in self._scan((), f"`index` < {below}"):
            for row in rows.filter(pc.less(rows["index"], below)).to_pylist():
                turn = record_of(Turn, row)
                yield turn.id, term_keys(terms("\n".join(texts_of([turn]).values())))

    def listed(self, first_hot: int) -> ColdTurns:
        """All turns below an index."""
        parts = self._scan(LISTED, f"`index` < {first_hot}")
        return ColdTurns(
            self, _once([rows.select(LISTED).filter(pc.less(rows["index"], first_hot)) for rows in parts])
        )

    def since(self, first_hot: int) -> pa.Table:
        """The rows of all turns from an index on."""
        parts = self._scan((), f"`index` >= {first_hot}")
        return _once([rows.filter(pc.greater_equal(rows["index"], first_hot)) for rows in parts])


def _once(parts: Sequence[pa.Table]) -> pa.Table:
    """One row for each index, ascending: what is on its way may be in the table by now as well."""
    rows = pa.concat_tables(parts)
    _, first = np.unique(rows["index"].to_numpy(), return_index=True)
    return rows.take(first)
