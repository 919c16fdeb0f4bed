"""Render prompt templates; keep data apart from instructions.

Everything that a user or a memory wrote reaches a prompt only through the filters of `filters`, which make
it harmless; a template that prints anything else does not render. Values are substituted once, by Jinja2:
braces in user text are text. Templates are no code: they run in Jinja2's sandbox and call nothing.

A template of our own wording begins with the line ``Task: <name>``. ``read_task`` and ``read_rows`` undo
its rendering; the ``rules`` engine reads prompts with them, as a model reads them with its eyes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from personavlm.platform.prompts.contract import CONTRACT
from personavlm.platform.prompts.filters import FILTERS, printed

TEMPLATES = Path(__file__).parent / "templates"
CASES = ("capitalize", "lower", "title", "upper")
_LISTS = ("first", "join", "last", "length", "map", "rejectattr", "reverse", "selectattr")
HELPERS = frozenset((*CASES, *_LISTS))
"""Filters of Jinja2 that a template may use before one of ours."""
_SECTION = re.compile(r'^<data name="([a-z_]+)">\n(.*?)^</data>$', re.MULTILINE | re.DOTALL)
_TASK = re.compile(r"\ATask: ([a-z_]+)$", re.MULTILINE)


@dataclass(frozen=True)
class PromptPack:
    """The wording of all prompts: name and text of each template. Equal packs render equally.

    It travels between processes as its texts.
    """

    templates: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, texts: Mapping[str, str]) -> PromptPack:
        """A pack of these templates, which `checking` has looked at or which are our own."""
        return cls(tuple(sorted(texts.items())))

    def __reduce__(self) -> tuple[type[PromptPack], tuple[tuple[tuple[str, str], ...]]]:
        """Without what was compiled."""
        return (PromptPack, (self.templates,))

    @cached_property
    def _environment(self) -> jinja2.Environment:
        return environment(dict(self.templates))

    def render(self, name: str, **values: object) -> str:
        """Render template ``name`` with exactly the values that `CONTRACT` promises it."""
        if values.keys() != CONTRACT[name].keys():
            raise ValueError(f"{name} is given {sorted(values)}, and promised {sorted(CONTRACT[name])}")
        return self._environment.get_template(name).render(values)


def environment(texts: Mapping[str, str]) -> jinja2.Environment:
    """Jinja2 as templates see it: the sandbox, a few filters, and no function at all."""
    made = ImmutableSandboxedEnvironment(
        loader=jinja2.DictLoader(texts),
        undefined=jinja2.StrictUndefined,
        finalize=printed,
        autoescape=False,  # prompts are not HTML; the filters do the escaping that matters here
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    made.globals.clear()
    made.filters = {name: made.filters[name] for name in HELPERS} | FILTERS
    return made


@cache
def default_pack() -> PromptPack:
    """The project's own wording."""
    return PromptPack.of({name: (TEMPLATES / f"{name}.txt").read_text(encoding="utf-8") for name in CONTRACT})


def read_task(prompt: str) -> str:
    """The task that a rendered prompt names in its first line, or an empty string."""
    found = _TASK.match(prompt)
    return found[1] if found else ""


def read_rows(prompt: str) -> dict[str, list[dict[str, Any]]]:
    """All data sections of a rendered prompt, by name."""
    return {
        name: [json.loads(line) for line in body.split("\n") if line]
        for name, body in _SECTION.findall(prompt)
    }
