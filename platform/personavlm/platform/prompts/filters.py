"""The only ways from data into a prompt: filters whose output is harmless wherever a template puts it.

What a user or a memory wrote may say anything. After one of these filters no text can end the section that
it stands in, begin another, fake a step of the grammar, or hold a special token of a chat template
(``<|im_end|>``) or a placeholder of an image:

* ``rows`` writes one JSON object per line. JSON escapes line breaks and quotes, and we escape the ``<`` of
  our own tags besides.
* ``text`` writes one value in one line: line breaks and control characters become spaces.
* ``lines`` keeps the value's line breaks and indents all lines after the first, so that none of them stands
  at the margin, where the wording of the template begins its lines.
* ``python`` writes one value as Python would print it inside of a list or a dictionary.

Templates that put ``text`` next to each other make one text of them, hence the ``<`` of a tag that only
begins at the end of a value is escaped too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import jinja2

Row = Mapping[str, Any]

_OURS = r"/?(?:think|retrieve|answer|data|image|video)\b|\|"
_TAG = re.compile(rf"<(?={_OURS})", re.IGNORECASE)
_TAG_OR_BEGINNING = re.compile(rf"<(?={_OURS}|/?[a-z]*\Z)", re.IGNORECASE)
_LINE_BREAK = re.compile("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
INDENT = "    "


class Escaped(str):
    """Text that went through a filter of this module and may be printed."""

    __slots__ = ()


def rows(items: Iterable[Row]) -> str:
    """One JSON object per line, each ended by a newline, with our own tags made harmless.

    Raises `jinja2.TemplateRuntimeError` for what is no rows.
    """
    items = list(items)
    if not all(isinstance(item, Mapping) for item in items):
        raise jinja2.TemplateRuntimeError("`rows` writes rows, and got something else")
    return Escaped(
        "".join(_TAG.sub(r"\\u003c", json.dumps(item, ensure_ascii=False)) + "\n" for item in items)
    )


def text(value: object) -> str:
    """One value in one line. Raises `jinja2.TemplateRuntimeError` for what is no single value."""
    return Escaped(_plain(_CONTROL.sub(" ", _single(value, "text"))))


def lines(value: object) -> str:
    """One value with its line breaks, every line after the first indented. Raises as `text` does."""
    pieces = (_CONTROL.sub(" ", piece) for piece in _LINE_BREAK.split(_single(value, "lines")))
    return Escaped(_plain(f"\n{INDENT}".join(pieces)))


def python(value: object) -> str:
    """A value as Python prints it in a list: quoted, in one line, with our own tags made harmless."""
    if isinstance(value, jinja2.Undefined):
        str(value)  # raises
    return Escaped(_TAG.sub(r"\\x3c", repr(value)))


def printed(value: object) -> str:
    """What a template may print: filtered text and whole numbers. Others raise `TemplateRuntimeError`."""
    if isinstance(value, Escaped | int | jinja2.Undefined):  # the last raises and names itself
        return str(value)
    raise jinja2.TemplateRuntimeError("a value is printed without a filter")


FILTERS = {"rows": rows, "text": text, "lines": lines, "python": python}


def _single(value: object, name: str) -> str:
    if isinstance(value, str | int | float | jinja2.Undefined):
        return str(value)
    raise jinja2.TemplateRuntimeError(
        f"`{name}` writes one value, and got a {type(value).__name__}: loop over it, or use `rows`"
    )


def _plain(escaped: str) -> str:
    return _TAG_OR_BEGINNING.sub("\u2039", escaped)
