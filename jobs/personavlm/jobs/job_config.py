"""The command of a job and its configuration: one YAML file, and `key=value` on the command line over it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from personavlm.platform.config import ConfigError
from personavlm.platform.config_section import Section
from personavlm.platform.errors import CommandError, PlatformError

Job = TypeVar("Job", bound=Section)
TRAIN = ("torch", "transformers", "peft", "tensorboardX", "pandas")
"""Modules of the extra `train` that the others lack."""


def run_job(name: str, kind: type[Job], run: Callable[[Job], object], about: str | None) -> int:
    """What ``python -m personavlm.jobs.NAME [config.yaml] [key=value …]`` does; its exit status.

    ``run`` may import what only some environments have. It raises `PlatformError` on what people can remedy.
    """
    parser = argparse.ArgumentParser(prog=f"python -m personavlm.jobs.{name}", description=about)
    parser.add_argument("config", nargs="?", help="a YAML file; settings may be given without one")
    parser.add_argument("settings", nargs="*", metavar="key=value")
    args = parser.parse_args()
    path, settings = args.config, args.settings
    if path and "=" in path:
        path, settings = None, [path, *settings]
    try:
        _with_extra(run, load_job(kind, Path(path) if path else None, settings))
    except PlatformError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0


def _with_extra(run: Callable[[Job], object], job: Job) -> None:
    try:
        run(job)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in TRAIN:
            raise
        raise CommandError(
            f"this needs the extra `train` ({error.name} is missing): pip install 'personavlm[train]'"
        ) from error


def load_job(kind: type[Job], path: Path | None, overrides: Sequence[str] = ()) -> Job:
    """Read a job's configuration. Without ``path`` everything has its default.

    An override is ``section.key=value``, its value YAML. Raises `ConfigError` with one line per problem.
    """
    values = _read(path) if path else {}
    for override in overrides:
        _set(values, override)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = (f"{path or 'settings'}: {_where(one['loc'])}: {one['msg']}" for one in error.errors())
        raise ConfigError("\n".join(problems)) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(values, dict | None):
        raise ConfigError(f"{path}: holds no settings; write them as `key: value`")
    return values or {}


def _set(values: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    if not equals or not name:
        raise ConfigError(f"{override}: is no setting; write key=value, or section.key=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: {text!r} is no YAML value: {error}") from error
    *sections, key = name.split(".")
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{name}: {section} is a value, not a section")
        values = inner
    values[key] = value


def _where(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "the file"
