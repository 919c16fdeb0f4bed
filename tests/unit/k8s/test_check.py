"""`make k8s-check`: the manifests pass, and a typo in any of their files does not."""

from __future__ import annotations

import re
import shutil
import zlib
from itertools import islice
from pathlib import Path

import pytest

from k8s.check import dockerfile
from k8s.check.__main__ import ROOT, check

FILES = sorted(
    file.relative_to(ROOT)
    for file in ROOT.rglob("*")
    if file.suffix in (".yaml", ".json") and "schemas" not in file.parts
)
KEY = re.compile(r"(?<![\w/#-])\"?([A-Za-z_][\w.-]{2,})\"?:(?=\s|$)")


def test_nothing_is_wrong() -> None:
    assert list(check(ROOT)) == []


@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_typo_fails_it(file: Path, tmp_path: Path) -> None:
    root = tmp_path / "k8s"
    shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns("__pycache__"))
    (root / file).write_text(with_typo((root / file).read_text(), zlib.crc32(str(file).encode())))
    assert list(islice(check(root, overlays_of(file)), 1))


def test_a_typo_in_the_dockerfile_fails_it(tmp_path: Path) -> None:
    text = (ROOT / "Dockerfile").read_text()
    for right, wrong in (
        ("COPY platform", "COPY platfrom"),
        ("RUN python", "RNU python"),
        ("--from=build ", "--from=biuld "),
        ("python:3.11.15-slim-bookworm AS build", "python:3.11 AS build"),
        ("USER 1000:1000", "USER root"),
        ("AS gpu", "AS gup"),
    ):
        (tmp_path / "Dockerfile").write_text(text.replace(right, wrong))
        assert right in text and list(dockerfile.problems(tmp_path / "Dockerfile", ROOT.parent)), wrong


def overlays_of(file: Path) -> list[str]:
    """Those that the file is part of, or enough of them."""
    if file.parts[0] == "overlays":
        return [file.parts[1]]
    return ["prod", "train"] if file.parts[0] == "components" else ["prod"]


def with_typo(text: str, number: int) -> str:
    """With two letters of one key exchanged."""
    keys = [
        found
        for found in KEY.finditer(text)
        if "#" not in text[text.rfind("\n", 0, found.start()) + 1 : found.start()]
        and found.group(1)[1] != found.group(1)[2]
    ]
    key = keys[number % len(keys)]
    word = key.group(1)
    return text[: key.start(1)] + word[0] + word[2] + word[1] + word[3:] + text[key.end(1) :]
