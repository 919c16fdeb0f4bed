"""How weights get from the learner to the engines that roll out: four calls, whatever carries them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from personavlm.platform.engine_config import EngineConfig, VllmEngineConfig


class WeightSync(Protocol):
    """Carries weights. ``workers`` are handles of `RolloutWorker`; what they raise propagates."""

    async def begin(self, workers: Sequence[Any]) -> None:
        """Meet the workers, before any weights."""
        ...

    async def send(self, workers: Sequence[Any], version: str, weights: Sequence[Any]) -> None:
        """Give all of them new weights (an ``ObjectRef`` in a list)."""
        ...

    async def catch_up(self, worker: Any) -> None:  # noqa: ANN401 - Ray's handles have no type
        """Give a worker that came later the weights that were sent last, if any were."""
        ...

    def end(self) -> None:
        """Let go of what was sent."""
        ...


class ObjectStoreSync:
    """Through Ray's object store: each node fetches the weights once and its workers read them there."""

    def __init__(self, method: str) -> None:
        self._method = method
        self._last: tuple[str, Sequence[Any]] | None = None

    async def begin(self, workers: Sequence[Any]) -> None:
        """Nothing to agree on."""

    async def send(self, workers: Sequence[Any], version: str, weights: Sequence[Any]) -> None:
        """All at once."""
        self._last = version, weights
        await asyncio.gather(*(self._give(worker, version, weights) for worker in workers))

    async def catch_up(self, worker: Any) -> None:  # noqa: ANN401
        """From what is still in the store."""
        if self._last:
            await self._give(worker, *self._last)

    def end(self) -> None:
        """The store may forget them."""
        self._last = None

    async def _give(self, worker: Any, version: str, weights: Sequence[Any]) -> None:  # noqa: ANN401
        await getattr(worker, self._method).remote(version, weights)


def weight_sync(engine: EngineConfig) -> WeightSync:
    """The way that suits the engine: tensors, or for vLLM a checkpoint that each worker writes for itself."""
    return ObjectStoreSync("take_folder" if isinstance(engine, VllmEngineConfig) else "take_weights")
