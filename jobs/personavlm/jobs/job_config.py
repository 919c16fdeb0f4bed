"""The configuration of a job: one YAML file, and `key=value` on the command line over it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from personavlm.platform.config import ConfigError
from personavlm.platform.config_section import Section

Job = TypeVar("Job", bound=Section)


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
