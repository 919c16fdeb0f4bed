"""One process of a learner: a policy, its optimiser, and optimiser steps over packs of sequences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from personavlm.jobs.images import ImageFolder
from personavlm.jobs.learning.batches import Pack, collate
from personavlm.jobs.learning.config import LearnerConfig
from personavlm.jobs.learning.loading import hugging_face_weights, load_policy
from personavlm.jobs.learning.optimiser import rate
from personavlm.jobs.learning.packing import deal
from personavlm.jobs.learning.pixels import Pictures
from personavlm.jobs.learning.policy import Scores
from personavlm.jobs.learning.sequences import TokenSequence
from personavlm.jobs.learning.strategies import World, build_strategy
from personavlm.jobs.trajectories import Example, Trajectory
from personavlm.platform.engines.checkpoint import Checkpoint

Indexed = tuple[list[int], Pack]
"""A pack, and which of the batch's sequences are in it."""


class Learner:
    """Learns in step with the other processes of its world: all are given the same batches.

    ``steps`` is how many updates the learning rate is planned for; ``step`` counts those that were made.
    """

    def __init__(self, config: LearnerConfig, images: Path, steps: int, world: World) -> None:
        self.config, self.steps, self.world = config, steps, world
        self.checkpoint = Checkpoint.open(config.policy.model)
        self.pictures = Pictures(ImageFolder(images), self.checkpoint, config.policy.max_pixels)
        torch.manual_seed(config.seed)
        self.policy = load_policy(self.checkpoint, config.policy).train()
        self.strategy = build_strategy(self.policy, config, world)
        self.step = 0

    def packs(self, sequences: Sequence[TokenSequence]) -> list[Indexed]:
        """This process's share of a batch. Every process must be given the same sequences."""
        lengths = [len(sequence) for sequence in sequences]
        dealt = deal(lengths, self.world.size, self.config.strategy.pack_tokens)
        return [(mine, self._pack([sequences[at] for at in mine])) for mine in dealt[self.world.rank]]

    def score(self, pack: Pack, temperature: float = 1.0, ban: bool = True) -> Scores:
        """Log-probabilities and entropies of the pack's targets."""
        return self.strategy.score(pack, temperature, ban)

    def update(self, packs: Sequence[Indexed], share: Callable[[list[int], Pack], Tensor]) -> float:
        """One optimiser step; the gradient's length. ``share`` gives a pack's share of the batch's loss."""
        for number, (indexes, pack) in enumerate(packs, start=1):
            self.strategy.begin(last=number == len(packs))
            # Gradients are averaged over processes, but shares add up.
            self.strategy.backward(share(indexes, pack) * self.world.size)
        norm = self.strategy.step(self.rate)
        self.step += 1
        return norm

    @property
    def rate(self) -> float:
        """The learning rate of the next update."""
        return rate(self.step, self.steps, self.config.optimiser)

    def weights(self) -> dict[str, Tensor]:
        """The policy's weights as in a checkpoint of Hugging Face, on the CPU; empty but in process 0."""
        kept: dict[str, Tensor] = {}
        for name, value in self.strategy.parameters():
            if self.world.rank == 0:
                kept[name] = value.to("cpu", copy=True)
        return hugging_face_weights(kept, self.config.policy, self.checkpoint)

    def length(self, source: Trajectory | Example) -> int:
        """How many tokens it is for the model."""
        return len(source) + sum(self.pictures.tokens(name) - 1 for name in source.images)

    def _pack(self, sequences: Sequence[TokenSequence]) -> Pack:
        return collate(sequences, self.pictures, self.policy.positions, self.world.device)
