"""Topics to talk about, read from the text files in ``topics/``.

A file holds topics (``# name``), each with small talk (``chat``), captions of pictures and *matters*:
things that somebody may tell and that a question may ask for. Alternatives stand between slashes.

* ``fact``: ``ask`` asks, ``lead`` is the other speaker's question before it, ``say`` tells it, ``bare``
  tells it in a way that only the lead explains; ``a`` is what question and telling share (``asked|said``
  where the two word it differently), ``x`` is the answer.
  ``every`` asks for all anchors at once.
* ``event``: a fact with a time, ``{when}`` (past) or ``{soon}`` (to come); ``what`` asks by its time.
* ``list``: several ``item`` lines, told one by one, that one question gathers; a
  ``hint`` after it repeats the question's words.
* ``infer``: items from which the answer follows without being said.
"""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

FOLDER = Path(__file__).parent / "topics"
Kind = Literal["fact", "event", "list", "infer"]
KINDS: tuple[Kind, ...] = ("fact", "event", "list", "infer")


@dataclass(frozen=True, slots=True)
class Anchor:
    """What question and telling share, in the words of each."""

    asked: str
    said: str


@dataclass(frozen=True, slots=True)
class Matter:
    """One thing to tell and to ask for; ``number`` tells the matters of a topic apart."""

    topic: str
    number: int
    kind: Kind
    ask: tuple[str, ...] = ()
    every: tuple[str, ...] = ()
    what: tuple[str, ...] = ()
    lead: tuple[str, ...] = ()
    say: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()
    hint: tuple[str, ...] = ()
    anchors: tuple[Anchor, ...] = ()
    answers: tuple[str, ...] = ()
    items: tuple[tuple[str, ...], ...] = ()


@dataclass(slots=True)
class Topic:
    """A topic with its small talk, captions and matters."""

    name: str
    chat: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    matters: list[Matter] = field(default_factory=list)


def parse(text: str) -> list[Topic]:
    """The topics of one file. ValueError for a line that is no ``key: alternatives``."""
    topics: list[Topic] = []
    kind: Kind | None = None
    fields: dict[str, list[tuple[str, ...]]] = {}
    for line in [*text.splitlines(), "end"]:
        known = next((name for name in KINDS if name == line), None)
        if known or line == "end" or line.startswith("# "):
            if kind:
                topics[-1].matters.append(_matter(topics[-1], kind, fields))
            kind, fields = known, {}
            if line.startswith("# "):
                topics.append(Topic(line[2:]))
        elif line.strip():
            _read_field(line, topics[-1], fields)
    return topics


def _read_field(line: str, topic: Topic, fields: dict[str, list[tuple[str, ...]]]) -> None:
    key, colon, rest = line.partition(": ")
    if not colon:
        raise ValueError(f"no field: {line}")
    alternatives = tuple(part.strip() for part in rest.split(" / "))
    if key == "chat":
        topic.chat = alternatives
    elif key == "caption":
        topic.captions = alternatives
    else:
        fields.setdefault(key, []).append(alternatives)


def _matter(topic: Topic, kind: Kind, fields: dict[str, list[tuple[str, ...]]]) -> Matter:
    def one(key: str) -> tuple[str, ...]:
        return fields.get(key, [()])[0]

    anchors = tuple(Anchor(text.partition("|")[0], text.rpartition("|")[2]) for text in one("a"))
    return Matter(
        topic.name,
        len(topic.matters),
        kind,
        one("ask"),
        one("every"),
        one("what"),
        one("lead"),
        one("say"),
        one("bare"),
        one("hint"),
        anchors,
        one("x"),
        tuple(fields.get("item", ())),
    )


@cache
def english() -> tuple[Topic, ...]:
    """All English topics, in order of file and place."""
    files = sorted(FOLDER.glob("*.txt"))
    return tuple(topic for file in files for topic in parse(file.read_text()))


@cache
def talk() -> dict[str, tuple[str, ...]]:
    """English small talk by purpose."""
    return small_talk(Path(__file__).parent / "talk.txt")


def small_talk(file: Path) -> dict[str, tuple[str, ...]]:
    """The lines under each ``# purpose`` of a file."""
    found: dict[str, list[str]] = {}
    purpose = ""
    for line in file.read_text().splitlines():
        if line.startswith("# "):
            purpose = line[2:]
        elif line:
            found.setdefault(purpose, []).append(line)
    return {name: tuple(lines) for name, lines in found.items()}
