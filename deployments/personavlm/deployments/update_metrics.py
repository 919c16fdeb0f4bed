"""How far the update stage is behind and what it takes, as metrics of each memory actor."""

from __future__ import annotations

import asyncio

from ray.util.metrics import Counter, Gauge

from personavlm.deployments.courtesy import CourteousEngine
from personavlm.deployments.update_queue import UpdateQueue

SHOWN_EVERY_S = 5.0  # Ray's agents collect every ten seconds
COUNTED = {
    "personavlm_update_failures_total": "Attempts at updates that failed",
    "personavlm_update_prompt_tokens_total": "Tokens of prompts of updates",
    "personavlm_update_cached_prompt_tokens_total": "Those of them that the engine had computed before",
    "personavlm_update_completion_tokens_total": "Tokens that the engine wrote for updates",
}


class UpdateMetrics:
    """``personavlm_update_*`` of one queue and its engine, labelled with the memory actor's number."""

    def __init__(self, queue: UpdateQueue, engine: CourteousEngine, actor: int) -> None:
        self._queue, self._engine, self._tags = queue, engine, {"actor": str(actor)}
        self._lag = Gauge(
            "personavlm_update_lag_seconds", "How long the oldest turn waits for its update", ("actor",)
        )
        self._length = Gauge(
            "personavlm_update_queue_length", "Users whose updates wait or are being made", ("actor",)
        )
        self._counters = {
            name: Counter(name, description, ("actor",)) for name, description in COUNTED.items()
        }
        self._shown = dict.fromkeys(COUNTED, 0)

    async def keep_showing(self) -> None:
        """Export what the queue says, for as long as the task lives."""
        while True:
            self.show()
            await asyncio.sleep(SHOWN_EVERY_S)

    def show(self) -> None:
        """Export what the queue and the engine say now."""
        self._lag.set(self._queue.lag_s(), self._tags)
        self._length.set(float(self._queue.length()), self._tags)
        for name, count in self._counts().items():
            if new := count - self._shown[name]:
                self._counters[name].inc(new, self._tags)
                self._shown[name] = count

    def _counts(self) -> dict[str, int]:
        return {
            "personavlm_update_failures_total": self._queue.failures,
            "personavlm_update_prompt_tokens_total": self._engine.prompt_tokens,
            "personavlm_update_cached_prompt_tokens_total": self._engine.cached_tokens,
            "personavlm_update_completion_tokens_total": self._engine.completion_tokens,
        }
