"""Before anything is started: data to examples, all of them looked at, those that are too long set aside."""

from __future__ import annotations

from dataclasses import dataclass

from personavlm.jobs.data.problems import DataError
from personavlm.jobs.data.reading import conversations
from personavlm.jobs.data.rendering import examples
from personavlm.jobs.images import ImageFolder
from personavlm.jobs.learning.pixels import Pictures
from personavlm.jobs.learning.sequences import BadSequence, widen
from personavlm.jobs.sft.config import SftConfig
from personavlm.jobs.sft.example_files import ExampleFiles, is_example_folder, write_examples
from personavlm.jobs.trajectories import Example
from personavlm.platform.engines.checkpoint import Checkpoint
from personavlm.platform.errors import CommandError


@dataclass(frozen=True, slots=True)
class Prepared:
    """``usable`` are the indexes of examples that are short enough and have something to learn."""

    folder: str
    usable: tuple[int, ...]
    too_long: int
    untrained: int


def prepare(config: SftConfig) -> Prepared:
    """Read, render and check all data. Raises `CommandError` that names what is wrong."""
    checkpoint = Checkpoint.open(config.policy.model)
    folder = config.data
    if not is_example_folder(folder):
        folder = config.output / "examples"
        if not is_example_folder(folder):
            _render(config, checkpoint)
    files = ExampleFiles.open(folder)
    pictures = Pictures(files.images, checkpoint, config.policy.max_pixels)
    usable, too_long, untrained = [], 0, 0
    for at in range(len(files)):
        example = files[at]
        if _length(example, at, checkpoint, pictures) > config.policy.max_tokens:
            too_long += 1
        elif not any(example.mask):
            untrained += 1
        else:
            usable.append(at)
    if not usable:
        raise CommandError(
            f"data: of {len(files)} conversations in {config.data} {too_long} are longer than "
            f"policy.max_tokens ({config.policy.max_tokens}) and {untrained} have nothing to learn; "
            "none is left"
        )
    return Prepared(str(folder.absolute()), tuple(usable), too_long, untrained)


def _render(config: SftConfig, checkpoint: Checkpoint) -> None:
    images = ImageFolder(config.output / "images")
    try:
        rows = conversations(config.data)
        count = write_examples(examples(rows, checkpoint, images), images, config.output / "examples")
    except DataError as error:
        raise CommandError(f"data: {error}") from error
    if not count:
        raise CommandError(f"data: {config.data} holds no conversations; questions are for GRPO")


def _length(example: Example, at: int, checkpoint: Checkpoint, pictures: Pictures) -> int:
    try:
        return len(widen(example, checkpoint, pictures.tokens))
    except BadSequence as error:
        raise CommandError(f"data: conversation {at}: {error}") from error
