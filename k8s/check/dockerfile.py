"""The Dockerfile, as far as it can be judged without Docker."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

_INSTRUCTIONS = {"FROM", "RUN", "COPY", "ENV", "USER", "WORKDIR", "LABEL", "ARG", "ENTRYPOINT", "SHELL"}
_FLAGS = re.compile(r"--(from|chown|chmod|mount|platform)=")


def problems(file: Path, context: Path) -> Iterator[str]:
    """Unknown instructions, images without a version, sources that are missing, targets that run as root."""
    stages: dict[str, str] = {}  # and the user that each ends with
    stage = ""
    for number, line in _lines(file.read_text(encoding="utf-8")):
        word, _, rest = line.partition(" ")
        where = f"{file}:{number}"
        if word not in _INSTRUCTIONS:
            yield f"{where}: {word} is no instruction that is used here"
        elif word == "FROM":
            image, _, stage = rest.partition(" AS ")
            if not stage:
                yield f"{where}: name the stage: FROM {image} AS …"
            if image not in stages and not re.search(r":\d+\.\d+\.\d+-|@sha256:[0-9a-f]{64}$", image):
                yield f"{where}: {image} is neither an earlier stage nor pinned to a full version or digest"
            stages[stage] = stages.get(image, "root")
        elif word == "USER":
            stages[stage] = rest.partition(":")[0]
        elif word == "COPY":
            yield from (f"{where}: {problem}" for problem in _copied(rest, context, stages))
    for target in ("cpu", "gpu"):
        if stages.get(target, "root") in ("root", "0"):
            yield f"{file}: the target {target} is missing or runs as root"


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Instructions with the lines that continue them, and the number of their first line."""
    parts: list[str] = []
    first = 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#") or not (line.strip() or parts):
            continue
        first = first if parts else number
        parts.append(line.removesuffix("\\").strip())
        if not line.endswith("\\"):
            yield first, " ".join(parts)
            parts = []


def _copied(rest: str, context: Path, stages: dict[str, str]) -> Iterator[str]:
    words = rest.split()
    flags = [word for word in words if word.startswith("--")]
    yield from (f"{flag} is unknown" for flag in flags if not _FLAGS.match(flag))
    source = next((flag.removeprefix("--from=") for flag in flags if flag.startswith("--from=")), None)
    if source is not None:
        if source not in stages:
            yield f"there is no stage {source}"
        return
    for word in [word for word in words if not word.startswith("--")][:-1]:
        if not (context / word).exists():
            yield f"there is no {word}"
