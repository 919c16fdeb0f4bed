"""How far the update stage is behind, as metrics of each memory actor."""

from __future__ import annotations

import asyncio

from ray.util.metrics import Counter, Gauge

from personavlm.deployments.update_queue import UpdateQueue

SHOWN_EVERY_S = 5.0  # Ray's agents collect every ten seconds


class UpdateMetrics:
    """``personavlm_update_*`` of one queue, labelled with the memory actor's number."""

    def __init__(self, queue: UpdateQueue, actor: int) -> None:
        self._queue, self._tags, self._failures = queue, {"actor": str(actor)}, 0
        self._lag = Gauge(
            "personavlm_update_lag_seconds", "How long the oldest turn waits for its update", ("actor",)
        )
        self._length = Gauge(
            "personavlm_update_queue_length", "Users whose updates wait or are being made", ("actor",)
        )
        self._failed = Counter(
            "personavlm_update_failures_total", "Attempts at updates that failed", ("actor",)
        )

    async def keep_showing(self) -> None:
        """Export what the queue says, for as long as the task lives."""
        while True:
            self.show()
            await asyncio.sleep(SHOWN_EVERY_S)

    def show(self) -> None:
        """Export what the queue says now."""
        self._lag.set(self._queue.lag_s(), self._tags)
        self._length.set(float(self._queue.length()), self._tags)
        if new := self._queue.failures - self._failures:
            self._failed.inc(new, self._tags)
            self._failures += new
