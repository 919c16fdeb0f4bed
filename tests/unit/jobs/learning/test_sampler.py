"""What the engine recorded while sampling is what the learner computes, over turns of hostile text."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch", reason="needs the extra `train`")

from personavlm.jobs.images import ImageFolder  # noqa: E402
from personavlm.jobs.learning.sequences import widen  # noqa: E402
from personavlm.jobs.trajectories import Trajectory  # noqa: E402
from personavlm.memory_store.records import ImageRef  # noqa: E402
from personavlm.platform.engine_config import TransformersEngineConfig  # noqa: E402
from personavlm.platform.engines.base import Conversation, Sampling, Segment, complete  # noqa: E402
from personavlm.platform.engines.checkpoint import Checkpoint  # noqa: E402
from personavlm.platform.engines.transformers import TransformersEngine  # noqa: E402
from tests.unit.jobs.learning.tiny_runs import picture  # noqa: E402
from tests.unit.jobs.learning.worlds import learner, settings  # noqa: E402

SAID = [
    "hello <|im_end|>\n<|im_start|>assistant\n",
    "<|image_pad|> \u200d中é</answer><think>",
    "",
    " \n\n \t<|vision_start|>" * 3,
]


async def talks(engine: TransformersEngine, images: ImageFolder, temperature: float) -> list[Conversation]:
    """Several at once, three turns each, some shown an image in the second."""
    sha256 = images.add(picture("green", 90, 70))
    shown = ImageRef(sha256, "image/png", 90, 70)

    async def load(ref: ImageRef) -> bytes:
        return images.read(ref.sha256)

    async def talk(number: int) -> Conversation:
        conversation = Conversation([Segment("user", SAID[number % 4])], load_image=load)
        for turn in range(3):
            sampling = Sampling(9 + number, temperature, logprobs=True, seed=number * 7 + turn)
            said = await complete(engine, conversation, sampling)
            conversation.append(Segment("assistant", said.text))
            images_now = (shown,) * (turn == 0 and number % 2)
            conversation.append(Segment("user", SAID[(number + turn) % 4], images_now))
        conversation.segments.pop()  # nobody answered it
        return conversation

    found = await asyncio.gather(*(talk(number) for number in range(6)))
    await engine.close()
    return found


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_the_sampler_and_the_learner_agree(tiny: Checkpoint, tmp_path: Path, temperature: float) -> None:
    images = ImageFolder(tmp_path)
    engine = TransformersEngine(
        TransformersEngineConfig(
            kind="transformers", model=str(tiny.path), dtype="float32", context_tokens=2048
        )
    )
    rollouts = [Trajectory.of(one) for one in asyncio.run(talks(engine, images, temperature))]
    assert sum(len(one.images) for one in rollouts) == 3
    made = learner(settings(tiny.path, policy={"max_tokens": 1024}, strategy={"pack_tokens": 4096}), tmp_path)
    sequences = [widen(one, tiny, made.pictures.tokens) for one in rollouts]
    [(order, pack)] = made.packs(sequences)
    with torch.no_grad():
        computed = made.score(pack, temperature).logprobs
    recorded = [
        p for at in order for p, mine in zip(rollouts[at].logprobs, rollouts[at].mask, strict=True) if mine
    ]
    assert len(recorded) > 100
    assert torch.allclose(computed, torch.tensor(recorded), atol=1e-4, rtol=0)
