"""What a model may propose for a memory, and how its text becomes operations of the store.

A model answers ``{"operations": [{"op": "add" | "update" | "delete", …}]}`` and names turns and memories
by the short ids that its prompt showed ("t3", "m1"). Each proposal is judged alone: one that names what
was not shown, says nothing, or has no ground in the user's words is dropped with a reason, the others
stand. What is not mentioned is left as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from personavlm.memory_store.records import AnyMemory, SemanticCategory, Turn

MAX_KEY_CHARS = 40
MAX_KEYWORDS = 12


class MalformedOutput(ValueError):
    """The model's text holds no JSON object of the shape that was asked for."""


def _as_list(value: object) -> object:
    """Models write ``"a, b"`` or ``null`` where a list of strings belongs."""
    if value is None:
        return []
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _as_key(value: object) -> object:
    """A key in the one spelling that makes it comparable: lower case, underscores."""
    return (
        re.sub(r"[\W_]+", "_", value.lower()).strip("_")[:MAX_KEY_CHARS] if isinstance(value, str) else value
    )


Strings = Annotated[tuple[str, ...], BeforeValidator(_as_list)]
Key = Annotated[str, BeforeValidator(_as_key)]


class _Proposal(BaseModel):
    model_config = ConfigDict(frozen=True, str_strip_whitespace=True)

    reason: str = ""
    evidence: Strings = ()
    """Short ids of the turns that it rests on."""


class AddProposal(_Proposal):
    """Remember something new."""

    op: Literal["add"]
    text: str = Field(min_length=1)
    key: Key = ""
    """Core and procedural memory: what the entry is about."""
    block: Literal["human", "persona"] = "human"
    category: SemanticCategory = "fact"
    keywords: Strings = ()
    shown: bool = False
    """The turn's images show it; every concept is shown."""
    object: str = ""
    """What the images show, in a few words: "blue mug with white dots"."""
    supersedes: str | None = None
    """Short id of the semantic memory that this one takes the place of."""


class UpdateProposal(_Proposal):
    """Give a memory a new text."""

    op: Literal["update"]
    id: str
    text: str = Field(min_length=1)


class DeleteProposal(_Proposal):
    """End a memory. Only with a reason."""

    op: Literal["delete"]
    id: str
    reason: str = Field(min_length=1)


Proposal = AddProposal | UpdateProposal | DeleteProposal
_PROPOSAL: TypeAdapter[Proposal] = TypeAdapter(Annotated[Proposal, Field(discriminator="op")])


@dataclass(frozen=True, slots=True)
class Shown:
    """Turns and memories under the short ids that a prompt gave them."""

    turns: Mapping[str, Turn]
    memories: Mapping[str, AnyMemory] = field(default_factory=dict)


def read_object(text: str, *required: str) -> dict[str, Any]:
    """The first JSON object in a model's text that has the keys ``required``.

    Text and code fences around it do not matter. Raises `MalformedOutput` where there is none.
    """
    for candidate in _objects(text):
        if all(key in candidate for key in required):
            return candidate
    raise MalformedOutput(f"no JSON object with {', '.join(required)}")


def _objects(text: str) -> Iterator[dict[str, Any]]:
    decoder, position = json.JSONDecoder(), text.find("{")
    while position >= 0:
        try:
            value, _ = decoder.raw_decode(text, position)
        except (json.JSONDecodeError, RecursionError):  # braces nested without end are no object either
            pass
        else:
            yield value
        position = text.find("{", position + 1)


def read_operations(text: str) -> tuple[list[Proposal], list[str]]:
    """Valid proposals of a model's text in order, and a reason for each one that was dropped.

    Raises `MalformedOutput` where the text as a whole is not what was asked for.
    """
    listed = read_object(text, "operations")["operations"]
    if not isinstance(listed, list):
        raise MalformedOutput("`operations` is not a list")
    proposals: list[Proposal] = []
    dropped: list[str] = []
    for number, item in enumerate(listed, 1):
        try:
            proposals.append(_PROPOSAL.validate_python(item))
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            known = first["type"] != "union_tag_invalid"  # whose message quotes what the model wrote
            why = first["msg"] if known else "`op` is none of add, update, delete"
            dropped.append(f"operation {number}: {where or 'item'}: {why}")
    return proposals, dropped


def _is_whole(value: object) -> bool:
    return isinstance(value, float) and value.is_integer()


def read_scores(text: str, names: tuple[str, ...]) -> tuple[int, ...]:
    """One integer from 1 to 5 per name, in their order; an integer off the scale counts as neutral, 3.

    Raises `MalformedOutput` where a score is missing or is no whole number.
    """
    found = read_object(text, *names)
    scores = []
    for name in names:
        value = found[name]
        if isinstance(value, bool) or not (isinstance(value, int) or _is_whole(value)):
            raise MalformedOutput(f"`{name}` is not a whole number")
        scores.append(int(value) if 1 <= value <= 5 else 3)
    return tuple(scores)
