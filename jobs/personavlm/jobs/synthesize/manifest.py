"""What a folder of synthetic data is: of which configuration, with what in it, made by which versions."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from personavlm.jobs.data.rows import Record
from personavlm.jobs.data.writing import replacing
from personavlm.jobs.synthesize.config import SynthesizeConfig
from personavlm.platform.config import ConfigError

MANIFEST = "manifest.json"
PACKAGES = ("personavlm", "pillow", "pyarrow", "lancedb", "onnxruntime")
_WHERE = {"output", "workers", "cpus_per_worker", "gpus_per_worker", "ray_address"}


class Manifest(Record):
    """``digest`` is of all settings that decide what comes out. ``finished``: all files are there."""

    digest: str
    config: dict[str, Any]
    versions: dict[str, str]
    finished: bool = False
    counts: dict[str, int] = {}  # noqa: RUF012 - pydantic copies it
    files: dict[str, str] = {}  # noqa: RUF012

    def write(self, output: Path) -> None:
        """Put it into the folder."""
        with replacing(output / MANIFEST) as unfinished:
            unfinished.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")


def new_manifest(config: SynthesizeConfig) -> Manifest:
    """Of a run that begins."""
    settings = config.model_dump(mode="json", exclude=_WHERE)
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    return Manifest(digest=digest, config=settings, versions={name: version(name) for name in PACKAGES})


def claim(config: SynthesizeConfig) -> Manifest:
    """The manifest of the output folder: a new one, or that of the same run begun before.

    Raises `ConfigError` for a folder with anything else in it.
    """
    ours, path = new_manifest(config), config.output / MANIFEST
    if not path.exists():
        if config.output.exists() and any(config.output.iterdir()):
            raise ConfigError(f"output: {config.output} holds something else; choose an empty folder")
        ours.write(config.output)
        return ours
    try:
        found = Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise ConfigError(f"{path}: is no manifest; choose another output folder") from error
    if found.digest != ours.digest:
        changed = sorted(key for key in ours.config if ours.config[key] != found.config.get(key))
        raise ConfigError(
            f"output: {config.output} holds a run with another configuration ({', '.join(changed)} differ); "
            "choose another folder"
        )
    if not found.finished and found.versions != ours.versions:
        raise ConfigError(f"output: {config.output} was begun by other versions; choose another folder")
    return found


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
