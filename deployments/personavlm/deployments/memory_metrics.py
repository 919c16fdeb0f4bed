"""Sizes and counts of shards as metrics: Ray's agents serve them to Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ray.util.metrics import Gauge

from personavlm.memory_store.lifecycle.stats import StoreStats

_OF_SHARD: Mapping[str, tuple[str, Callable[[StoreStats], float]]] = {
    "users": ("Users with records", lambda stats: stats.users),
    "pending_users": ("Users with turns that wait for the update stage", lambda stats: stats.pending_users),
    "cached_users": ("Users whose working set is in memory", lambda stats: stats.cached_users),
    "cached_bytes": ("Memory of the working sets, about", lambda stats: stats.cached_bytes),
    "tail_rows": ("Rows acknowledged and not yet in the tables", lambda stats: stats.tail_rows),
    "tail_bytes": ("Bytes acknowledged and not yet in the tables", lambda stats: stats.tail_bytes),
    "tail_age_seconds": ("Age of the oldest row that is not in the tables", lambda stats: stats.tail_age_s),
    "tail_failing": ("1 while rows cannot be moved into the tables", lambda stats: bool(stats.tail_failure)),
}
_OF_TABLE: Mapping[str, tuple[str, Callable[[StoreStats], Mapping[str, int]]]] = {
    "rows": ("Rows of a table", lambda stats: stats.rows),
    "fragments": ("Pieces of a table", lambda stats: stats.fragments),
    "bytes": ("Bytes of a table's newest version", lambda stats: stats.bytes),
}


class StoreGauges:
    """``personavlm_store_<name>`` by shard, and for tables by shard and table."""

    def __init__(self) -> None:
        self._of_shard = {name: _gauge(name, text, "shard") for name, (text, _) in _OF_SHARD.items()}
        self._of_table = {name: _gauge(name, text, "shard", "table") for name, (text, _) in _OF_TABLE.items()}

    def show(self, shards: Mapping[int, StoreStats]) -> None:
        """Export these figures, until others come."""
        for shard, stats in shards.items():
            for name, (_, figure) in _OF_SHARD.items():
                self._of_shard[name].set(float(figure(stats)), {"shard": str(shard)})
            for name, (_, figures) in _OF_TABLE.items():
                for table, number in figures(stats).items():
                    self._of_table[name].set(float(number), {"shard": str(shard), "table": f"{table}"})


def _gauge(name: str, description: str, *tags: str) -> Gauge:
    return Gauge(f"personavlm_store_{name}", description, tags)
