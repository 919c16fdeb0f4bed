"""What learners are given: token ids, and which of them to learn from.

Ids are the only state. They are those that the engine rendered and sampled, never a text encoded again, and
an image is one ``<|image_pad|>`` whatever its size: the learner, which has the pixels, expands it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain
from math import isfinite

from personavlm.platform.engines.base import Conversation, TokenSpan

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One rollout, flat: the prompt, then by turns what the policy sampled and what was shown to it.

    ``mask`` is true exactly where the policy sampled the id in this rollout, its end of message included.
    There ``logprobs`` (nats) are of the distribution that it was sampled from and ``versions`` name the
    weights; elsewhere they are 0 and empty. ``images`` are SHA-256 names in the run's `ImageFolder`, one
    for each ``<|image_pad|>``, in order. ``truncated``: a length limit ended it.

    Raises `ValueError` where these things do not agree.
    """

    ids: tuple[int, ...]
    mask: tuple[bool, ...]
    logprobs: tuple[float, ...]
    versions: tuple[str, ...]
    images: tuple[str, ...] = ()
    truncated: bool = False

    def __post_init__(self) -> None:
        sizes = {"mask": len(self.mask), "logprobs": len(self.logprobs), "versions": len(self.versions)}
        _check_sequence(self.ids, self.images, sizes)
        if self.mask[0]:
            raise ValueError("the first id is sampled, but nothing is before it to be sampled from")
        for at, (sampled, logprob, version) in enumerate(
            zip(self.mask, self.logprobs, self.versions, strict=True)
        ):
            if not isfinite(logprob):
                raise ValueError(f"the log-probability at {at} is {logprob}")
            if sampled and not version:
                raise ValueError(f"the id sampled at {at} does not say which weights sampled it")
            if not sampled and (logprob or version):
                raise ValueError(f"the id at {at} was not sampled, but has a log-probability or a version")

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, conversation: Conversation, *, truncated: bool = False) -> Trajectory:
        """The trajectory of a token engine's conversation, sampled with ``Sampling(logprobs=True)``."""
        spans = [span for span in conversation.tokens if span.ids]
        if any(span.sampled and not span.logprobs for span in spans):
            raise ValueError("sampled ids came without log-probabilities; sample with logprobs=True")
        return cls(
            ids=conversation.ids,
            mask=tuple(chain.from_iterable([span.sampled] * len(span.ids) for span in spans)),
            logprobs=tuple(chain.from_iterable(_logprobs(span) for span in spans)),
            versions=tuple(chain.from_iterable(_versions(span) for span in spans)),
            images=tuple(image.sha256 for image in conversation.images),
            truncated=truncated,
        )


@dataclass(frozen=True, slots=True)
class Example:
    """One supervised sequence; ``mask`` is true where the id is a target. Raises `ValueError`."""

    ids: tuple[int, ...]
    mask: tuple[bool, ...]
    images: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_sequence(self.ids, self.images, {"mask": len(self.mask)})
        if self.mask[0]:
            raise ValueError("the first id is a target, but nothing is before it to predict it from")

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Weighted:
    """One row of a GRPO batch. Raises `ValueError` for an advantage that is not finite."""

    trajectory: Trajectory
    advantage: float

    def __post_init__(self) -> None:
        if not isfinite(self.advantage):
            raise ValueError(f"the advantage is {self.advantage}; drop rows without a reward instead")


def _check_sequence(ids: tuple[int, ...], images: tuple[str, ...], sizes: dict[str, int]) -> None:
    if not ids:
        raise ValueError("there are no ids")
    for name, size in sizes.items():
        if size != len(ids):
            raise ValueError(f"{len(ids)} ids came with {size} {name}")
    for image in images:
        if not _SHA256.fullmatch(image):
            raise ValueError(f"an image is named by the SHA-256 of its bytes, not {image!r}")


def _logprobs(span: TokenSpan) -> tuple[float, ...]:
    return span.logprobs if span.sampled else (0.0,) * len(span.ids)


def _versions(span: TokenSpan) -> tuple[str, ...]:
    return (span.version if span.sampled else "",) * len(span.ids)
