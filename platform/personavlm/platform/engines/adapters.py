"""Which LoRA adapters are loaded: by name, the one used least recently gives way.

An adapter in use is never unloaded; whoever needs one more than there are slots waits. Each loading gets a
number of its own, because an engine that knows a number already keeps the weights that came with it.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from safetensors import SafetensorError, safe_open

from personavlm.platform.engines.checkpoint import name_in_model
from personavlm.platform.errors import CheckpointError

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter's folder, read but not loaded."""

    name: str
    path: Path
    rank: int
    sees: bool
    """Whether it changes the vision tower."""

    @classmethod
    def open(cls, name: str, path: Path, largest_rank: int, shapes: Mapping[str, tuple[int, ...]]) -> Adapter:
        """Read a folder in PEFT's format. Raises `CheckpointError`.

        ``shapes`` are those of the model's weights (`Checkpoint.shapes`): an engine would take an adapter of
        other sizes without a word and answer nonsense.
        """
        try:
            config = json.loads((path / CONFIG).read_text(encoding="utf-8"))
            with safe_open(path / WEIGHTS, framework="numpy") as weights:
                sizes = {key: tuple(weights.get_slice(key).get_shape()) for key in weights.keys()}  # noqa: SIM118
        except (OSError, ValueError, SafetensorError) as error:
            raise CheckpointError(f"adapter {name}: {path} holds no adapter of PEFT: {error}") from error
        rank = config.get("r") if isinstance(config, dict) else None
        if not isinstance(rank, int) or not 1 <= rank <= largest_rank:
            raise CheckpointError(
                f"adapter {name}: its rank is {rank!r}; engine.adapter_rank allows 1 to {largest_rank}"
            )
        for key, size in sizes.items():
            if size != (fitting := _fitting(key, rank, shapes)):
                raise CheckpointError(
                    f"adapter {name} does not fit the model: {key} is {size}, not {fitting}"
                )
        return cls(name, path, rank, any(".visual." in key for key in sizes))


def _fitting(key: str, rank: int, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...] | None:
    """The size that an adapter's weight must have; ``None`` where the model has nothing of that name."""
    module, _, half = name_in_model(key).partition(".lora_")
    outer, inner = shapes.get(f"{module}.weight", (0, 0))[:2]
    return {"A.weight": (rank, inner), "B.weight": (outer, rank)}.get(half) if outer else None


@dataclass(slots=True)
class _Loaded:
    number: int
    users: int = 0


class AdapterSlots:
    """Lends loaded adapters. ``load(adapter, number)`` and ``unload(number)`` talk to the engine."""

    def __init__(
        self,
        slots: int,
        load: Callable[[Adapter, int], Awaitable[None]],
        unload: Callable[[int], Awaitable[None]],
    ) -> None:
        self._slots, self._load, self._unload = slots, load, unload
        self._loaded: OrderedDict[str, _Loaded] = OrderedDict()
        self._numbers = count(1)
        self._change = asyncio.Condition()

    @asynccontextmanager
    async def use(self, adapter: Adapter) -> AsyncIterator[int]:
        """The number of the adapter, loaded until the block ends. Errors of loading propagate."""
        async with self._change:
            while not (adapter.name in self._loaded or await self._make_room()):
                await self._change.wait()
            if adapter.name not in self._loaded:
                number = next(self._numbers)
                await self._load(adapter, number)
                self._loaded[adapter.name] = _Loaded(number)
            loaded = self._loaded[adapter.name]
            self._loaded.move_to_end(adapter.name)
            loaded.users += 1
        try:
            yield loaded.number
        finally:
            loaded.users -= 1
            async with self._change:
                self._change.notify_all()

    async def _make_room(self) -> bool:
        """Whether a slot is free, after unloading the idle adapter that was used longest ago if need be."""
        if len(self._loaded) < self._slots:
            return True
        idle = next((name for name, loaded in self._loaded.items() if not loaded.users), None)
        if idle is None:
            return False
        await self._unload(self._loaded.pop(idle).number)
        return True
