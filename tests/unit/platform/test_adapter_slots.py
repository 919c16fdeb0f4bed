"""Adapters take turns in the slots, and none is unloaded while it is used."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personavlm.platform.engines.adapters import Adapter, AdapterSlots
from personavlm.platform.errors import CheckpointError


def adapter(name: str) -> Adapter:
    return Adapter(name, Path(name), 8, False)


class Loaded:
    """What an engine would hold; refuses what an engine would get wrong."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.now: dict[int, str] = {}
        self.numbers: set[int] = set()

    async def load(self, adapter: Adapter, number: int) -> None:
        await asyncio.sleep(0)
        assert number not in self.numbers, "a number is never used again"
        self.numbers.add(number)
        self.now[number] = adapter.name
        assert len(self.now) <= self.slots

    async def unload(self, number: int) -> None:
        await asyncio.sleep(0)
        del self.now[number]


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=30), st.integers(1, 3), st.integers())
def test_whoever_uses_an_adapter_has_it_loaded_to_the_end(names: list[str], slots: int, seed: int) -> None:
    async def all_at_once() -> None:
        engine, draw = Loaded(slots), random.Random(seed)
        lent = AdapterSlots(slots, engine.load, engine.unload)

        async def use(name: str) -> None:
            async with lent.use(adapter(name)) as number:
                for _ in range(draw.randrange(4)):
                    assert engine.now[number] == name
                    await asyncio.sleep(0)

        await asyncio.wait_for(asyncio.gather(*map(use, names)), 10)

    asyncio.run(all_at_once())


async def test_the_one_used_least_recently_gives_way() -> None:
    engine = Loaded(2)
    lent = AdapterSlots(2, engine.load, engine.unload)
    for name in "abac":
        async with lent.use(adapter(name)):
            pass
    assert sorted(engine.now.values()) == ["a", "c"]


async def test_one_that_cannot_be_loaded_blocks_nobody() -> None:
    engine = Loaded(1)

    async def load(found: Adapter, number: int) -> None:
        if found.name == "bad":
            raise CheckpointError("adapter bad does not fit the model")
        await engine.load(found, number)

    lent = AdapterSlots(1, load, engine.unload)
    with pytest.raises(CheckpointError):
        async with lent.use(adapter("bad")):
            pass
    async with lent.use(adapter("good")) as number:
        assert engine.now[number] == "good"


def test_a_folder_without_an_adapter_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"adapter warm: .* holds no adapter of PEFT"):
        Adapter.open("warm", tmp_path, 8, {})
