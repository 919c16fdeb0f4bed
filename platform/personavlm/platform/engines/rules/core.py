"""Core memory by patterns: who the user is, how they want the assistant to be, what they like most."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from personavlm.platform.engines.base import Conversation
from personavlm.platform.engines.rules.absolute_dates import local_time, with_absolute_dates
from personavlm.platform.engines.rules.semantic import favourite, fit, slots
from personavlm.platform.engines.rules.statements import Statement, is_style, read_statements
from personavlm.platform.engines.rules.words import content_words, sentences, stems
from personavlm.platform.prompts.render import read_rows

Row = dict[str, Any]
Entry = tuple[str, str, str]  # key, block, text

MOST_PREFERENCES = 7
MOST_CHARS = 120  # what takes longer to say is no preference for every prompt
PREFERENCE = "preference_"

_PATTERNS = {
    name: [re.compile(pattern) for pattern in patterns]
    for name, patterns in yaml.safe_load(
        Path(__file__).with_name("core.yaml").read_text(encoding="utf-8")
    ).items()
}
_STRONG = re.compile(
    r"\b(?:love|adore|favou?rite|prefer|hate|can't stand|cannot stand|obsessed|switched|gone off|any ?more"
    r"|go-to|no longer|these days|nowadays|big fan|allergic)\b",
    re.IGNORECASE,
)
_WEAK = re.compile(
    r"\b(?:i'd|would) love|\blove (?:that|how|it|this|for|the way)\b|\bnow i'm\b", re.IGNORECASE
)
_STYLES = {
    topic: re.compile(rf"\b(?:{words})", re.IGNORECASE)
    for topic, words in {
        "length": "short|brief|long|detail|concise|bullet|sentence",
        "tone": "formal|casual|friendly|jok(?:e|es|ing)|emoji|direct|blunt|sugar",
        "language": "english|german|spanish|french|portuguese|italian|language",
    }.items()
}
_LIKING = stems("love like enjoy prefer hate stand favourite favorite new big fan")


def respond(conversation: Conversation) -> str:
    """Operations for one session as the JSON object that the prompt asks for."""
    data = read_rows(conversation.segments[0].text)
    held = {row["key"]: row for row in data["core"]}
    entries: dict[str, Row] = {}
    for turn in data["turns"]:
        known = held | entries
        for key, block, text in _entries(turn, "name" in known, known):
            entries.pop(key, None)
            entries[key] = {"block": block, "text": text, "evidence": [turn["id"]]}
    operations = [_operation(key, entry, held) for key, entry in entries.items()]
    operations = [operation for operation in operations if operation]
    return json.dumps({"operations": _room(operations, held) + operations}, ensure_ascii=False)


def _operation(key: str, entry: Row, held: dict[str, Row]) -> Row:
    """What makes core memory hold this entry; nothing where it does already."""
    if key not in held:
        return {"op": "add", "key": key, **entry, "reason": "the user told"}
    if held[key]["text"] == entry["text"]:
        return {}
    changed = {"text": entry["text"], "evidence": entry["evidence"]}
    return {"op": "update", "id": held[key]["id"], **changed, "reason": "the user told otherwise"}


def _room(operations: list[Row], held: dict[str, Row]) -> list[Row]:
    """Delete the oldest preferences that the new ones leave no room for."""
    updated = {operation.get("id") for operation in operations}
    own = [row for key, row in held.items() if key.startswith(PREFERENCE)]
    new = sum(op["op"] == "add" and op["key"].startswith(PREFERENCE) for op in operations)
    excess = max(0, len(own) + new - MOST_PREFERENCES)
    unused = [row for row in own if row["id"] not in updated][:excess]
    return [{"op": "delete", "id": row["id"], "reason": "newer preferences took its place"} for row in unused]


def _entries(turn: Row, named: bool, held: Mapping[str, Row]) -> Iterator[Entry]:
    """What one turn says."""
    said = turn["user"].replace("\u2019", "'")
    for sentence in sentences(said):
        if not sentence.endswith("?"):
            yield from _identity(sentence, named, turn)
    for statement in read_statements(said):
        text = with_absolute_dates(statement.text, local_time(turn["time"]))
        if is_style(statement.text) and (key := _style(statement.text)):
            yield key, "persona", text
        elif statement.category == "preference" and _is_strong(statement.text):
            yield _preference_key(statement, held), "human", text


def _identity(sentence: str, named: bool, turn: Row) -> Iterator[Entry]:
    date = f"{local_time(turn['time']):%B %Y}"
    for kind, value, who in _captured(sentence):
        if kind == "name":
            if not named or "name" in sentence:
                yield "name", "human", value
        elif kind == "address":
            yield "form_of_address", "persona", f"Call me {value}."
            if not named:
                yield "name", "human", value
        else:
            yield _fact(kind, value, who, date)


def _fact(kind: str, value: str, who: str, date: str) -> Entry:
    if kind == "age":
        return "age", "human", f"{value} years old ({date})."
    if kind == "allergy":
        return f"allergy_{'_'.join(content_words(value)[:2])}", "human", f"Allergic to {value}."
    if kind == "family":
        return f"{who}_{value.lower()}", "human", f"{who.capitalize()}: {value}."
    texts = {"home": f"Lives in {value}.", "work": _work(value, date), "diet": f"{value.capitalize()}."}
    if kind == "occupation":
        return "work", "human", f"{value}."
    return kind, "human", texts[kind]


def _captured(sentence: str) -> Iterator[tuple[str, str, str]]:
    for kind, patterns in _PATTERNS.items():
        found = next((match for pattern in patterns if (match := pattern.search(sentence))), None)
        if found:
            yield kind, found["value"].strip(), found.groupdict().get("who") or ""


def _work(value: str, date: str) -> str:
    if value in ("quit", "left", "lost"):
        return f"{value.capitalize()} the job in {date}."
    return f"Works {value}." if value.startswith(("as ", "at ", "for ", "in ")) else f"Is {value}."


def _style(text: str) -> str:
    if re.match(r"(?i)call me\b", text):
        return ""  # has a pattern of its own
    topic = next((name for name, pattern in _STYLES.items() if pattern.search(text)), "")
    words = content_words(text)
    return f"style_{topic or words[-1]}" if topic or words else ""


def _is_strong(text: str) -> bool:
    return len(text) <= MOST_CHARS and bool(_STRONG.search(text)) and not _WEAK.search(text)


def _preference_key(statement: Statement, held: Mapping[str, Row]) -> str:
    """The key of the preference that this one ends, else one of its own: its slot or its object."""
    for key, row in held.items():
        if key.startswith(PREFERENCE) and fit(statement, row["text"], "preference") > 0:
            return key
    slot = sorted(slots(statement.text))
    if slot and statement.changed:
        return PREFERENCE + slot[0]
    if own := favourite(statement.text):
        return f"{PREFERENCE}favourite_{own.replace(' ', '_')}"
    words = [word for word in content_words(statement.text) if not stems(word) <= _LIKING]
    return PREFERENCE + ("_".join(words[:2]) or "taste")
