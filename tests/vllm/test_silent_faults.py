"""What vLLM does wrong without saying so, and the remedies: each test compares with transformers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
from safetensors.numpy import load_file, save_file

from personavlm.platform.engines.base import Conversation, Sampling, Segment, complete
from personavlm.platform.engines.checkpoint import Checkpoint
from personavlm.platform.engines.vllm import VllmEngine
from personavlm.platform.errors import CheckpointError, EngineError, EngineUnavailable
from tests.tiny_checkpoint import write_checkpoint
from tests.vllm.conftest import small_vllm
from tests.vllm.judge import Judge, load, picture
from tests.vllm.tiny_adapter import VISION, write_adapter

pytestmark = pytest.mark.asyncio(loop_scope="module")
TOLERANCE = 1e-4
SLOTS = 2


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> dict[str, Path]:
    """Three adapters of the language model, and one of the vision tower."""
    folder = tmp_path_factory.mktemp("adapters")
    found = {name: write_adapter(folder / name, checkpoint, seed) for seed, name in enumerate("abc", 1)}
    return found | {"eyes": write_adapter(folder / "eyes", checkpoint, 9, VISION)}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(checkpoint: Path, folders: dict[str, Path]) -> AsyncIterator[VllmEngine]:
    adapters = {name: {"path": str(path)} for name, path in folders.items()}
    found = VllmEngine(small_vllm(checkpoint, adapters=adapters, adapter_slots=SLOTS, adapter_rank=8))
    yield found
    await found.close()


async def said(engine: VllmEngine, text: str, adapter: str = "", *, image: bool = False) -> Conversation:
    images = (picture("red"), picture("blue", 300, 200)) if image else ()
    conversation = Conversation([Segment("user", text, images)], load, adapter=adapter)
    await complete(engine, conversation, Sampling(8, 1.0, logprobs=True, seed=len(text)))
    return conversation


def error(conversation: Conversation, checkpoint: Path, adapter: Path | None = None) -> float:
    return Judge(checkpoint, adapter).worst(conversation, Checkpoint.open(str(checkpoint)).banned())


async def test_with_all_slots_filled_requests_without_an_adapter_come_out_right(
    engine: VllmEngine, checkpoint: Path, folders: dict[str, Path]
) -> None:
    names = ["a", "", "b", "", "a", "", "b", ""]
    runs = await asyncio.gather(*(said(engine, f"number {i}", name) for i, name in enumerate(names)))
    for name, conversation in zip(names, runs, strict=True):
        assert error(conversation, checkpoint, folders.get(name)) < TOLERANCE


async def test_more_adapters_than_slots_take_turns(
    engine: VllmEngine, checkpoint: Path, folders: dict[str, Path]
) -> None:
    names = ["a", "b", "c", "a", "c", "b", ""]
    runs = await asyncio.gather(*(said(engine, f"turn {i}", name) for i, name in enumerate(names)))
    for name, conversation in zip(names, runs, strict=True):
        assert error(conversation, checkpoint, folders.get(name)) < TOLERANCE


async def test_an_adapter_of_the_vision_tower_is_not_ignored(
    engine: VllmEngine, checkpoint: Path, folders: dict[str, Path]
) -> None:
    conversation = await said(engine, "what is it?", "eyes", image=True)
    assert error(conversation, checkpoint, folders["eyes"]) < TOLERANCE
    assert error(conversation, checkpoint) > 100 * TOLERANCE  # it makes a difference at all


async def test_a_bad_adapter_is_refused_and_the_engine_lives(
    engine: VllmEngine, checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="no adapter of PEFT"):
        VllmEngine(small_vllm(checkpoint, adapters={"x": {"path": str(tmp_path)}}))
    with pytest.raises(EngineError, match="no adapter 'x'"):
        await said(engine, "hello", "x")
    unfit = write_adapter(tmp_path / "unfit", checkpoint, 1)
    weights = load_file(unfit / "adapter_model.safetensors")
    cut = {name: weight[:, :3].copy() for name, weight in weights.items()}
    save_file(cut, unfit / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match="does not fit"):
        VllmEngine(small_vllm(checkpoint, adapters={"unfit": {"path": str(unfit)}}))
    await engine.check_health()
    assert (await said(engine, "hello")).tokens


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
async def test_new_weights_answer_alone(tmp_path: Path, tied: bool) -> None:
    """Neither the old head, nor cached keys and values, nor cached images of the old weights stay."""
    old, new = (
        write_checkpoint(tmp_path / "old", 1, tied=tied),
        write_checkpoint(tmp_path / "new", 2, tied=tied),
    )
    engine = VllmEngine(small_vllm(old))
    try:
        before = await said(engine, "the same question " * 40, image=True)
        assert error(before, old) < TOLERANCE
        await engine.update_weights(str(new), "2")
        after = await said(engine, "the same question " * 40, image=True)
        assert error(after, new) < TOLERANCE and error(after, old) > 100 * TOLERANCE
        assert {span.version for span in after.tokens if span.sampled} == {"2"}
        with pytest.raises(CheckpointError, match="no such folder"):
            await engine.update_weights(str(tmp_path / "nowhere"))
        assert error(await said(engine, "still there"), new) < TOLERANCE
    finally:
        await engine.close()


async def test_replies_under_way_end_with_the_weights_that_they_began_with(tmp_path: Path) -> None:
    old, new = write_checkpoint(tmp_path / "old", 1), write_checkpoint(tmp_path / "new", 2)
    engine = VllmEngine(small_vllm(old))
    try:
        first = asyncio.gather(*(said(engine, f"early {i}") for i in range(4)))
        await asyncio.sleep(0)
        updating = asyncio.create_task(engine.update_weights(str(new), "2"))
        later = asyncio.gather(*(said(engine, f"late {i}") for i in range(4)))
        await updating
        for conversation in (*await first, *await later):
            versions = {span.version for span in conversation.tokens if span.sampled}
            assert len(versions) == 1
            assert error(conversation, new if versions == {"2"} else old) < TOLERANCE
    finally:
        await engine.close()


async def test_damaged_weights_are_refused_and_the_old_ones_stay(tmp_path: Path) -> None:
    old, new = write_checkpoint(tmp_path / "old", 1), write_checkpoint(tmp_path / "new", 2)
    weights = new / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    engine = VllmEngine(small_vllm(old))
    try:
        with pytest.raises(CheckpointError, match="cannot be read"):
            await engine.update_weights(str(new), "2")
        assert error(await said(engine, "still there"), old) < TOLERANCE
        await engine.check_health()
    finally:
        await engine.close()


async def test_an_engine_whose_worker_was_killed_says_so_everywhere(tmp_path: Path) -> None:
    old, new = write_checkpoint(tmp_path / "old", 1), write_checkpoint(tmp_path / "new", 2)
    others = set(psutil.Process().children(recursive=True))
    engine = VllmEngine(small_vllm(old))
    try:
        waiting = asyncio.gather(*(said(engine, f"{i}") for i in range(4)), return_exceptions=True)
        mine = set(psutil.Process().children(recursive=True)) - others
        for process in [one for one in mine if "Worker" in one.name()]:
            process.kill()
        with pytest.raises(EngineError, match="new weights could not be loaded"):
            await engine.update_weights(str(new), "2")
        for outcome in await waiting:
            assert isinstance(outcome, EngineUnavailable)
        with pytest.raises(EngineUnavailable):
            await said(engine, "late")
        with pytest.raises(EngineError):  # so that the replica is replaced
            await engine.check_health()
    finally:
        await engine.close()
