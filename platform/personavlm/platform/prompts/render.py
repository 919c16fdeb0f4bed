"""Render prompt templates; keep data apart from instructions.

Everything that a user or a memory wrote reaches a prompt only through the filter ``rows``: one JSON
object per line inside ``<data name="…">``. JSON escapes line breaks and quotes, and we escape the ``<``
of our own tags besides, so no text can close its section, open another, or fake a step of the grammar;
nor can it hold a special token of a chat template (``<|im_end|>``) or a placeholder of an image.
Values are substituted once, by Jinja2: braces in user text are text.

A template's first line is ``Task: <name>``. ``read_task`` and ``read_rows`` undo the rendering; the
``rules`` engine reads prompts with them, as a model reads them with its eyes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

TEMPLATES = Path(__file__).parent / "templates"
_TAG = re.compile(r"<(?=/?(?:think|retrieve|answer|data|image|video)\b|\|)", re.IGNORECASE)
_SECTION = re.compile(r'^<data name="([a-z_]+)">\n(.*?)^</data>$', re.MULTILINE | re.DOTALL)
_TASK = re.compile(r"\ATask: ([a-z_]+)$", re.MULTILINE)

Row = Mapping[str, Any]


def rows(items: Iterable[Row]) -> str:
    """One JSON object per line, each ended by a newline, with our own tags made harmless."""
    return "".join(_TAG.sub(r"\\u003c", json.dumps(item, ensure_ascii=False)) + "\n" for item in items)


class PromptPack:
    """A folder of templates, ``<name>.txt`` each."""

    def __init__(self, folder: Path = TEMPLATES) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(folder),
            undefined=jinja2.StrictUndefined,
            autoescape=False,  # prompts are not HTML; `rows` does the escaping that matters here
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=False,
        )
        self._environment.filters["rows"] = rows

    def render(self, name: str, **values: object) -> str:
        """Render template ``name``; a value that it uses and did not get raises."""
        return self._environment.get_template(f"{name}.txt").render(values)


@cache
def default_pack() -> PromptPack:
    """The project's own wording."""
    return PromptPack()


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
