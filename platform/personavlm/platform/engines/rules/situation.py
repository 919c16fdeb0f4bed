"""What a reply prompt shows, read back from its data sections."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from personavlm.platform.agent.grammar import Retrieve, parse
from personavlm.platform.engines.base import Conversation, Segment
from personavlm.platform.engines.rules.absolute_dates import local_time
from personavlm.platform.prompts.render import read_rows

Row = dict[str, Any]
Source = Literal["turn", "assistant", "semantic", "visual", "procedural", "episode", "core"]
_ANSWER_NOW = re.compile(r"^Task: answer_now$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Something remembered. ``context`` is what was said around it, ``time`` local without a zone."""

    id: str
    source: Source
    text: str
    context: str = ""
    time: datetime | None = None
    until: datetime | None = None
    outside: bool = False


@dataclass(frozen=True, slots=True)
class Situation:
    """One step of a reply. ``known`` was in the first prompt, ``found`` came from lookups.

    ``tried`` are the lookups so far, ``last_found`` what the last one brought.
    """

    text: str
    now: datetime
    images: int
    captions: tuple[str, ...]
    traits: dict[str, float]
    core: dict[str, str]
    known: tuple[Evidence, ...]
    found: tuple[Evidence, ...]
    last_found: tuple[Evidence, ...]
    tried: tuple[Retrieve, ...]
    must_answer: bool
    previous: str


def read_situation(conversation: Conversation) -> Situation:
    """Read every segment so far."""
    first, *rest = [segment for segment in conversation.segments if segment.role != "system"]
    shown = read_rows(first.text)
    message = shown["message"][0]
    lookups = [tuple(_found(read_rows(segment.text))) for segment in rest if segment.role == "user"]
    turns = shown.get("conversation", [])
    return Situation(
        text=str(message["text"]),
        now=local_time(message["time"]),
        images=int(message["images"]),
        captions=tuple(message.get("captions", ())),
        traits={row["trait"]: float(row["score"]) for row in shown.get("personality", [])},
        core={row["key"]: row["text"] for row in shown.get("core", [])},
        known=(*_core(shown.get("core", [])), *(evidence for row in turns for evidence in _turn(row))),
        found=tuple(evidence for lookup in lookups for evidence in lookup),
        last_found=lookups[-1] if lookups else (),
        tried=tuple(_tried(rest)),
        must_answer=bool(_ANSWER_NOW.search(conversation.segments[-1].text)),
        previous=str(turns[-1]["user"]) if turns else "",
    )


def _tried(segments: list[Segment]) -> Iterator[Retrieve]:
    for segment in segments:
        if segment.role == "assistant":
            action = parse(segment.text).action
            if isinstance(action, Retrieve):
                yield action


def _found(shown: dict[str, list[Row]]) -> Iterator[Evidence]:
    for row in shown.get("procedural", []):
        yield Evidence(row["id"], "procedural", row["text"])
    for section, source in (("semantic", "semantic"), ("visual", "visual")):
        for row in shown.get(section, []):
            yield Evidence(
                row["id"],
                "semantic" if source == "semantic" else "visual",
                row["text"],
                time=local_time(row["time"]),
                until=local_time(row["until"]) if "until" in row else None,
                outside=bool(row.get("outside_window")),
            )
    for row in shown.get("episodes", []):
        outside = bool(row.get("outside_window"))
        yield Evidence(row["id"], "episode", row["text"], time=local_time(row["from"]), outside=outside)
    for row in shown.get("turns", []):
        yield from _turn(row)


def _turn(row: Row) -> Iterator[Evidence]:
    """What the user said with its captions, and what the assistant said."""
    time, outside = local_time(row["time"]), bool(row.get("outside_window"))
    captions = " ".join(f"[{caption}]" for caption in row.get("captions", ()))
    user, assistant = f"{row['user']} {captions}".strip(), str(row["assistant"])
    if user:
        yield Evidence(row["id"], "turn", user, assistant, time, outside=outside)
    if assistant:
        yield Evidence(row["id"], "assistant", assistant, user, time, outside=outside)


def _core(rows: list[Row]) -> Iterator[Evidence]:
    for row in rows:
        yield Evidence("", "core", str(row["text"]), str(row["key"]).replace("_", " "))
