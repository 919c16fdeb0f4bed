"""Where the GRPO learner gets its batches and brings its weights: an actor that the controller owns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from personavlm.jobs.learning.config import GrpoLearnerConfig
from personavlm.jobs.trajectories import Weighted


class Feed(Protocol):
    """Methods of a Ray actor, called with ``.remote``."""

    def batch(self, step: int) -> list[Weighted] | None:
        """The batch of update ``step`` (from 0), the same for every learner that asks; ``None`` ends the run.

        It may wait. A learner that was started again asks for steps that were asked for before.
        """
        ...

    def trained(self, step: int, version: str, metrics: Mapping[str, float], weights: Sequence[Any]) -> None:
        """The weights after ``step`` updates, from learner 0.

        Called once before the first batch, with empty ``metrics``, so that nobody samples with other
        weights than the learner's; then after every update. ``weights`` holds one ``ObjectRef`` (in a list,
        so that Ray does not fetch it): a dict from names of Hugging Face's checkpoints to CPU tensors.
        """
        ...


@dataclass(frozen=True, slots=True)
class GrpoRun:
    """What `personavlm.jobs.learning.grpo_loop.train_loop` is given, as ``config["run"]``.

    ``output`` is a folder that all nodes share; checkpoints are in ``output/checkpoints``. ``steps`` is the
    number of updates that the learning rate is planned for.
    """

    learner: GrpoLearnerConfig
    feed: Any
    output: Path
    images: Path
    steps: int


def version_of(step: int) -> str:
    """The name of the weights after ``step`` updates."""
    return f"step-{step}"
