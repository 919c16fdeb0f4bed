"""A tiny checkpoint, images and random sequences for the tests of learning."""

from __future__ import annotations

import io
import json
from pathlib import Path
from random import Random

from PIL import Image

from personavlm.jobs.images import ImageFolder
from personavlm.jobs.trajectories import Example, Trajectory, Weighted
from personavlm.platform.engines.checkpoint import Checkpoint

WORDS = range(20, 400)


def picture(colour: str, width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()


def image_ids(checkpoint: Checkpoint) -> list[int]:
    return [checkpoint.special[name] for name in ("<|vision_start|>", "<|image_pad|>", "<|vision_end|>")]


def words(checkpoint: Checkpoint, random: Random, count: int) -> list[int]:
    banned = set(checkpoint.banned())
    usable = [number for number in WORDS if number not in banned]
    return random.choices(usable, k=count)


def trajectories(checkpoint: Checkpoint, folder: Path, count: int, seed: int = 0) -> list[Trajectory]:
    """Of two turns each, with something shown in between; every second one has images."""
    random, images = Random(seed), ImageFolder(folder)
    names = [images.add(picture("red", 100, 60)), images.add(picture("blue", 56, 140))]
    return [_trajectory(checkpoint, random, names if number % 2 else []) for number in range(count)]


def _trajectory(checkpoint: Checkpoint, random: Random, images: list[str]) -> Trajectory:
    shown = image_ids(checkpoint) if images else []
    spans = [
        (words(checkpoint, random, random.randint(3, 9)) + shown, False),
        ([*words(checkpoint, random, random.randint(2, 12)), checkpoint.end], True),
        (words(checkpoint, random, random.randint(2, 8)) + shown, False),
        ([*words(checkpoint, random, random.randint(1, 6)), checkpoint.end], True),
    ]
    flat = [(token, sampled) for ids, sampled in spans for token in ids]
    return Trajectory(
        ids=tuple(token for token, _ in flat),
        mask=tuple(sampled for _, sampled in flat),
        logprobs=tuple(-random.uniform(0.1, 6) if sampled else 0.0 for _, sampled in flat),
        versions=tuple("v" if sampled else "" for _, sampled in flat),
        images=tuple(images),
    )


def weighted(checkpoint: Checkpoint, folder: Path, count: int, seed: int = 0) -> list[Weighted]:
    random = Random(seed)
    found = trajectories(checkpoint, folder, count, seed)
    return [Weighted(one, random.gauss(0, 1)) for one in found]


def examples(checkpoint: Checkpoint, folder: Path, count: int, seed: int = 0) -> list[Example]:
    return [Example(one.ids, one.mask, one.images) for one in trajectories(checkpoint, folder, count, seed)]


def lessons(folder: Path, count: int = 24) -> Path:
    """A file of short conversations, and one that is too long."""
    rows = [
        {
            "conversations": [
                {"from": "human", "value": f"{n}?"},
                {"from": "gpt", "value": f"<answer>{n}</answer>"},
            ]
        }
        for n in range(count)
    ]
    rows.append({"conversations": [{"from": "human", "value": "long " * 300}, {"from": "gpt", "value": "x"}]})
    path = folder / "lessons.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
