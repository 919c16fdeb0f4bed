"""What the learner computes is what the model says, however sequences are laid out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch", reason="needs the extra `train`")

from personavlm.jobs.images import ImageFolder  # noqa: E402
from personavlm.jobs.learning.batches import collate  # noqa: E402
from personavlm.jobs.learning.config import PolicyConfig  # noqa: E402
from personavlm.jobs.learning.loading import load_policy, load_reference  # noqa: E402
from personavlm.jobs.learning.pixels import Pictures  # noqa: E402
from personavlm.jobs.learning.policy import Policy  # noqa: E402
from personavlm.jobs.learning.sequences import BadSequence, TokenSequence, widen  # noqa: E402
from personavlm.jobs.trajectories import Example  # noqa: E402
from personavlm.platform.engines.checkpoint import Checkpoint  # noqa: E402
from personavlm.platform.errors import CheckpointError, CommandError  # noqa: E402
from tests.unit.jobs.learning.tiny_runs import image_ids, trajectories  # noqa: E402

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def policy(tiny: Checkpoint) -> Policy:
    return load_policy(tiny, settings(tiny)).eval()


@pytest.fixture(scope="module")
def pictures(tiny: Checkpoint, images: Path) -> Pictures:
    return Pictures(ImageFolder(images), tiny, 230_400)


def settings(tiny: Checkpoint, **changes: Any) -> PolicyConfig:  # noqa: ANN401
    return PolicyConfig(model=str(tiny.path), precision="float32", **changes)


def sequences(tiny: Checkpoint, pictures: Pictures, count: int = 6) -> list[TokenSequence]:
    found = trajectories(tiny, pictures.folder.path, count)
    return [widen(one, tiny, pictures.tokens) for one in found]


def padded_logprobs(tiny: Checkpoint, pictures: Pictures, batch: list[TokenSequence]) -> list[Any]:
    """By transformers alone: padded rows, its own attention, masks and positions."""
    from transformers import Qwen2_5_VLForConditionalGeneration

    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(tiny.path, dtype=torch.float32).eval()
    longest = max(map(len, batch))
    ids = torch.tensor([[*one.ids, *[tiny.end] * (longest - len(one))] for one in batch])
    mask = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in batch])
    pixels, grids = pictures.read(tuple(name for one in batch for name in one.images))
    kinds = (ids == tiny.special["<|image_pad|>"]).long()
    with torch.no_grad():
        logits = model(
            input_ids=ids, attention_mask=mask, mm_token_type_ids=kinds, pixel_values=pixels,
            image_grid_thw=grids,
        ).logits  # fmt: skip
    logits[:, :, list(tiny.banned())] = -torch.inf
    scores = torch.log_softmax(logits / 0.7, dim=-1)
    return [
        torch.stack([scores[row, at - 1, one.ids[at]] for at in one.targets]) for row, one in enumerate(batch)
    ]


def test_packed_is_padded_with_images(tiny: Checkpoint, policy: Policy, pictures: Pictures) -> None:
    batch = sequences(tiny, pictures)
    assert any(one.images for one in batch) and not all(one.images for one in batch)
    pack = collate(batch, pictures, policy.positions, CPU)
    with torch.no_grad():
        packed = policy(pack, 0.7).logprobs
    assert torch.allclose(packed, torch.cat(padded_logprobs(tiny, pictures, batch)), atol=1e-5, rtol=0)


def test_sequences_in_a_pack_do_not_see_each_other(
    tiny: Checkpoint, policy: Policy, pictures: Pictures
) -> None:
    first, *rest = sequences(tiny, pictures, 4)
    with torch.no_grad():
        together = policy(collate([first, *rest], pictures, policy.positions, CPU)).logprobs
        others = policy(collate([first, *reversed(rest)], pictures, policy.positions, CPU)).logprobs
    count = len(first.targets)
    assert torch.allclose(together[:count], others[:count], atol=1e-6, rtol=0)


def test_banned_ids_have_no_probability_and_the_others_all_of_it(
    tiny: Checkpoint, policy: Policy, pictures: Pictures
) -> None:
    prompt = (30, 31, 32)
    allowed = sorted(set(range(tiny.config.text_config.vocab_size)) - set(tiny.banned()))
    batch = [TokenSequence((*prompt, token), (3,)) for token in allowed]
    with torch.no_grad():
        pack = collate(batch, pictures, policy.positions, CPU)
        inside, everywhere = policy(pack).logprobs.exp().sum(), policy(pack, ban=False).logprobs.exp().sum()
    assert inside == pytest.approx(1, abs=1e-4)
    assert everywhere < 1 - 1e-4


def test_what_was_shown_is_attended_and_never_learned(
    tiny: Checkpoint, policy: Policy, pictures: Pictures
) -> None:
    """Another retrieved token: no target of its own, earlier targets the same, later ones changed."""
    sequence = sequences(tiny, pictures, 1)[0]
    gap = next(at for at in range(sequence.targets[0], len(sequence)) if at not in sequence.targets)
    other = TokenSequence(
        (*sequence.ids[:gap], sequence.ids[gap] + 1, *sequence.ids[gap + 1 :]), sequence.targets
    )
    with torch.no_grad():
        a, b = (policy(collate([one], pictures, policy.positions, CPU)).logprobs for one in (sequence, other))
    before = sum(at < gap for at in sequence.targets)
    assert len(a) == len(b) == len(sequence.targets)
    assert torch.equal(a[:before], b[:before]) and not torch.isclose(a[before:], b[before:]).all()


def test_text_alone_runs_the_vision_tower_and_changes_nothing(
    tiny: Checkpoint, policy: Policy, pictures: Pictures
) -> None:
    policy.zero_grad()
    scores = policy(collate(sequences(tiny, pictures, 1), pictures, policy.positions, CPU))
    scores.logprobs.sum().backward()
    gradients = [one.grad for one in policy.model.model.visual.merger.parameters()]
    assert all(gradient is not None and not gradient.any() for gradient in gradients)


def test_parts_are_frozen_as_configured(tiny: Checkpoint) -> None:
    def trained(**changes: Any) -> set[str]:  # noqa: ANN401
        found = load_policy(tiny, settings(tiny, **changes)).named_parameters()
        return {name for name, one in found if one.requires_grad}

    usual = trained()
    assert not any("visual" in name and "merger" not in name for name in usual)
    assert any("visual.merger" in name for name in usual)
    assert any("visual.blocks" in name for name in trained(train_vision=True))
    assert not any("visual" in name for name in trained(train_merger=False))
    assert any("visual.merger" in name for name in trained(lora={"rank": 4, "alpha": 8}))
    low = trained(lora={"rank": 4, "alpha": 8}, train_merger=False)
    assert low and all(".lora_" in name and "language_model" in name for name in low)


def test_a_reference_of_another_shape_is_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    from tests.tiny_checkpoint import write_checkpoint

    other = Checkpoint.open(str(write_checkpoint(tmp_path, positions=2048)))
    with pytest.raises(CheckpointError, match="another architecture"):
        load_reference(other, tiny, settings(tiny))


def test_places_and_images_must_match(tiny: Checkpoint, pictures: Pictures) -> None:
    ids = (30, *image_ids(tiny), 31)
    with pytest.raises(BadSequence, match="1 places for images, and 0 images"):
        widen(Example(ids, (False,) * 5), tiny, pictures.tokens)
    with pytest.raises(CommandError, match="missing"):
        widen(Example(ids, (False,) * 5, ("00" * 32,)), tiny, pictures.tokens)


def test_ids_that_cannot_be_learned_are_refused(tiny: Checkpoint, pictures: Pictures) -> None:
    with pytest.raises(BadSequence, match="another tokenizer"):
        widen(Example((30, 10**6), (False, True)), tiny, pictures.tokens)
    with pytest.raises(BadSequence, match="never sampled"):
        widen(Example((30, tiny.special["<|im_start|>"]), (False, True)), tiny, pictures.tokens)
