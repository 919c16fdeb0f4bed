"""The checkpoint made from nothing: complete, opened by the engine, started as documented, nothing frozen."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")

from personavlm.jobs.gym.checkpoint import write_checkpoint  # noqa: E402
from personavlm.jobs.gym.network import Binding  # noqa: E402
from personavlm.platform.engine_config import TransformersEngineConfig  # noqa: E402
from personavlm.platform.engines.base import Conversation, Sampling, Segment, complete  # noqa: E402
from personavlm.platform.engines.build import build_engine  # noqa: E402
from personavlm.platform.engines.checkpoint import Checkpoint  # noqa: E402

pytestmark = pytest.mark.train


def attention_to_previous(model: object, ids: object) -> float:
    """Of layer 0's first head, the mean weight that each word gives to the one before."""
    model.set_attn_implementation("eager")  # type: ignore[attr-defined]  # transformers' classes
    with torch.no_grad():
        out = model(input_ids=ids, output_attentions=True)  # type: ignore[operator]  # are unknown here
    return float(out.attentions[0][0, 0].diagonal(-1)[3:].mean())


async def test_an_engine_opens_it_and_it_writes_words_of_the_world(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", seed=1)
    engine = build_engine(
        TransformersEngineConfig(kind="transformers", model=str(folder), context_tokens=1024)
    )
    conversation = Conversation([Segment("system", "assistant"), Segment("user", "which drink do i like ?")])
    reply = await complete(engine, conversation, Sampling(max_tokens=12, temperature=1.0, seed=3))
    await engine.close()
    assert reply.completion_tokens == 12 or reply.finish_reason == "stop"
    assert not set(conversation.ids) & set(Checkpoint.open(str(folder)).banned()) - set(
        conversation.tokens[0].ids
    )


def test_the_same_seed_makes_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    versions = [
        Checkpoint.open(str(write_checkpoint(tmp_path / name, seed))).version()
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    ]
    assert versions[0] == versions[1] != versions[2]


def test_the_start_attends_to_the_word_before(tmp_path: Path) -> None:
    from transformers import Qwen2_5_VLForConditionalGeneration

    ids = torch.arange(20, 60)[None]
    heads = {}
    for name, binding in (("bound", Binding()), ("plain", None)):
        folder = write_checkpoint(tmp_path / name, 0, binding=binding)
        heads[name] = attention_to_previous(Qwen2_5_VLForConditionalGeneration.from_pretrained(folder), ids)
    assert heads["bound"] > 0.9 > 0.3 > heads["plain"]
