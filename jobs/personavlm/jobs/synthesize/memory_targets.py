"""What the update stage ought to answer about a made-up life, in the forms that its prompts ask for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from personavlm.jobs.synthesize.life import Beat, Kind, LifeTurn, minute
from personavlm.jobs.synthesize.world import remembered
from personavlm.memory_store.records import TRAITS

Row = dict[str, Any]
Rows = dict[str, list[Row]]
Turns = Mapping[str, LifeTurn]
"""The turns of a life by the minute at which they were told."""

MOST_PREFERENCES = 5  # kept in core memory; others are found by a lookup
THEMES: dict[Kind, str] = {
    "intro": "who they are",
    "mood": "how they feel",
    "preference": "their tastes",
    "person": "people in their life",
    "tone": "people in their life",
    "habit": "their routines",
    "goal": "their goals and plans",
    "progress": "their goals and plans",
    "plan": "their goals and plans",
    "event": "where they have been",
    "thing": "things of theirs",
}


def memory_target(task: str, rows: Rows, turns: Turns) -> str:
    """The right answer to the prompt of an update step, whose data sections are ``rows``."""
    return json.dumps(_TARGETS[task](rows, turns), ensure_ascii=False)


def sentence(turn: LifeTurn) -> str:
    """What semantic memory keeps of a turn; empty where it tells nothing that lasts."""
    return remembered(turn.beat, turn.time)


def _personality(rows: Rows, turns: Turns) -> Row:
    return dict(zip(TRAITS, _told(rows["turn"][0], turns).beat.scores, strict=True))


def _semantic(rows: Rows, turns: Turns) -> Row:
    row = rows["turn"][0]
    turn = _told(row, turns)
    if not (text := sentence(turn)):
        return {"operations": []}
    beat = turn.beat
    operation: Row = {
        "op": "add",
        "category": "preference" if beat.kind == "preference" else "concept" if beat.picture else "fact",
        "text": text,
        "keywords": keywords_of(beat),
        "shown": beat.picture is not None,
        "object": beat.key if beat.picture else "",
        "supersedes": _superseded(beat, rows["related"]),
        "reason": f"the user told about {THEMES[beat.kind]}",
        "evidence": [row["id"]],
    }
    return {"operations": [operation]}


def _superseded(beat: Beat, related: Sequence[Row]) -> str | None:
    """The shown memory that held what the beat changes."""
    if not beat.previous:
        return None
    subject = f"favourite {beat.key}" if beat.kind == "preference" else beat.key
    return next(
        (row["id"] for row in related if subject in row["text"] and beat.previous in row["text"]), None
    )


def _episodic(rows: Rows, turns: Turns) -> Row:
    topics: dict[str, list[Row]] = {}
    for row in rows["turns"]:
        topics.setdefault(THEMES[_told(row, turns).beat.kind], []).append(row)
    return {"operations": [_topic(theme, own, turns) for theme, own in topics.items()]}


def _topic(theme: str, rows: Sequence[Row], turns: Turns) -> Row:
    told = [_told(row, turns) for row in rows]
    what = " ".join(sentence(turn) or f"“{turn.user_text}”" for turn in told)
    keywords = dict.fromkeys(word for turn in told for word in keywords_of(turn.beat))
    return {
        "op": "add",
        "text": f"On {told[0].time:%A %-d %B %Y} the user spoke of {theme}: {what}"[:1000],
        "keywords": list(keywords)[:8] or [theme],
        "evidence": [row["id"] for row in rows],
    }


def _procedural(rows: Rows, turns: Turns) -> Row:
    entries: dict[str, Row] = {row["key"]: row for row in rows["procedural"]}
    operations: dict[str, Row] = {}
    for row in rows["turns"]:
        beat = _told(row, turns).beat
        if beat.kind in ("habit", "goal", "progress"):
            key = f"{beat.key} habit" if beat.kind == "habit" else beat.key
            operations[key] = _kept(entries, key, _lasting(beat), row["id"], "a habit or goal of the user")
    return {"operations": list(operations.values())}


def _lasting(beat: Beat) -> str:
    if beat.kind == "habit":
        return f"On {beat.key}s the user's routine is: {beat.value} {beat.more['when']}."
    step = f" Latest step: {beat.value}." if beat.kind == "progress" else ""
    return f"The user's goal: {beat.key}.{step}"


def _core(rows: Rows, turns: Turns) -> Row:
    entries: dict[str, Row] = {row["key"]: row for row in rows["core"]}
    operations: dict[str, Row] = {}
    for row in rows["turns"]:
        beat = _told(row, turns).beat
        for key, text in _always_known(beat).items():
            preferences = sum(name.startswith("preference") for name in {**entries, **operations})
            if key in entries or beat.kind == "intro" or preferences < MOST_PREFERENCES:
                operations[key] = _kept(entries, key, text, row["id"], "the user told", core=True)
    return {"operations": list(operations.values())}


def _always_known(beat: Beat) -> dict[str, str]:
    if beat.kind == "intro":
        return {
            "name": beat.value,
            "work": f"Works as {beat.more['a_job']}.",
            "home": f"Lives in {beat.more['home']}.",
            "style": beat.more["style"],
        }
    return (
        {f"preference_{beat.key}": f"Favourite {beat.key}: {beat.value}."}
        if beat.kind == "preference"
        else {}
    )


def _kept(
    entries: Mapping[str, Row], key: str, text: str, evidence: str, reason: str, core: bool = False
) -> Row:
    """An entry that is added, or brought up to date where it is known. Keys are stored in one spelling."""
    known = entries.get(key) or entries.get("_".join(key.lower().split()))
    if known:
        operation: Row = {"op": "update", "id": known["id"], "text": text}
    else:
        block = {"block": "persona" if key == "style" else "human"} if core else {}
        operation = {"op": "add", **block, "key": "_".join(key.lower().split()), "text": text}
    return {**operation, "reason": reason, "evidence": [evidence]}


def keywords_of(beat: Beat) -> list[str]:
    """Words by which a beat is found again."""
    words = [beat.key, beat.value, *(beat.more[name] for name in ("relation", "town") if name in beat.more)]
    return list(dict.fromkeys(word for word in words if word))


def _told(row: Row, turns: Turns) -> LifeTurn:
    return turns[row["time"][:16]]


def by_minute(turns: Sequence[LifeTurn]) -> dict[str, LifeTurn]:
    """Turns as `Turns`."""
    return {minute(turn.time): turn for turn in turns}


_TARGETS: dict[str, Callable[[Rows, Turns], Row]] = {
    "personality": _personality,
    "semantic": _semantic,
    "episodic": _episodic,
    "procedural": _procedural,
    "core": _core,
}
