"""Trajectories and examples with each image's place widened to the tokens that it takes. Needs no PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from personavlm.jobs.trajectories import Example, Trajectory
from personavlm.platform.engines.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """``ids`` as the model reads them; ``targets`` are indexes of those to learn from, in order."""

    ids: tuple[int, ...]
    targets: tuple[int, ...]
    images: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)


class BadSequence(ValueError):
    """A trajectory or an example cannot be learned from; says why."""


def widen(
    source: Trajectory | Example, checkpoint: Checkpoint, image_tokens: Callable[[str], int]
) -> TokenSequence:
    """The sequence as the model reads it. Raises `BadSequence`.

    ``image_tokens`` tells how many tokens an image takes, by its name.
    """
    pad = checkpoint.special["<|image_pad|>"]
    if source.ids.count(pad) != len(source.images):
        raise BadSequence(
            f"the ids have {source.ids.count(pad)} places for images, and {len(source.images)} images came"
        )
    _check_ids(source, checkpoint)
    images = iter(source.images)
    ids: list[int] = []
    targets: list[int] = []
    for token, learned in zip(source.ids, source.mask, strict=True):
        if learned:
            targets.append(len(ids))
        ids += [pad] * image_tokens(next(images)) if token == pad else [token]
    return TokenSequence(tuple(ids), tuple(targets), source.images)


def _check_ids(source: Trajectory | Example, checkpoint: Checkpoint) -> None:
    rows = checkpoint.config.text_config.vocab_size
    if (largest := max(source.ids)) >= rows or min(source.ids) < 0:
        raise BadSequence(f"id {largest} is none of the model's {rows}; was another tokenizer used?")
    banned = set(checkpoint.banned())
    for at, (token, learned) in enumerate(zip(source.ids, source.mask, strict=True)):
        if learned and token in banned:
            name = checkpoint.tokenizer.id_to_token(token)
            raise BadSequence(f"the id at {at}, {name}, is never sampled, so it cannot be learned from")
