"""What each template is given: the contract between a pack's wording and the code, in one table.

A pack has exactly these templates. A template may use what stands beside its name and nothing else; what is
``needed`` it must use, since without it a model could not do the task. The samples are what packs are tried
with before a service starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from personavlm.platform.prompts.filters import Row

_MARKS = ("id", "related_to", "category", "block", "kind", "trait", "score", "descriptor", "outside_window")
_TIMES_AND_COUNTS = ("time", "from", "to", "until", "images", "retrievals", "turns")
OURS = frozenset((*_MARKS, *_TIMES_AND_COUNTS))
"""Fields that the platform writes, never a user: values of them may begin a line."""


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number of ours: a limit. The only thing that may be printed without a filter."""

    sample: int
    needed: bool = False

    def samples(self) -> list[object]:
        return [self.sample]


@dataclass(frozen=True, slots=True)
class Text:
    """One text."""

    sample: str
    needed: bool = False

    def samples(self) -> list[object]:
        return [self.sample]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of data, from none to many; ``always`` says that there is at least one.

    ``sample`` is a row with every field; ``optional`` names those that a row may lack.
    """

    sample: Row
    optional: frozenset[str] = frozenset()
    always: bool = False
    needed: bool = False

    def samples(self) -> list[object]:
        """Rows with all fields, with and without, without, with blank texts, and none where that can be.

        A user may leave a text empty, beside an image for one.
        """
        bare = {name: value for name, value in self.sample.items() if name not in self.optional}
        blank = {name: "" if _may_be_blank(name, value) else value for name, value in bare.items()}
        return [[self.sample], [bare, self.sample], [bare], [blank], [blank] if self.always else []]


def _may_be_blank(name: str, value: object) -> bool:
    return isinstance(value, str) and name not in OURS


Variable = Number | Text | Rows

_TIME = "2026-05-17 14:05 Sunday"
_TURN = {
    "id": "t1",
    "time": _TIME,
    "user": "I moved to Porto.",
    "assistant": "How is it there?",
    "images": 1,
    "captions": ["a bridge"],
}
_CAPTIONS = frozenset(("captions",))
_CORE = Rows({"key": "name", "block": "human", "text": "Ana"})
_FOUND_TURN = Rows({**_TURN, "outside_window": True}, _CAPTIONS | {"outside_window"}, needed=True)
_FACT = Rows(
    {
        "id": "m1",
        "time": _TIME,
        "category": "fact",
        "text": "Lives in Porto.",
        "until": _TIME,
        "images": 1,
        "outside_window": True,
    },
    frozenset(("until", "images", "outside_window")),
    needed=True,
)
_EPISODE = Rows(
    {
        "id": "e1",
        "from": _TIME,
        "to": _TIME,
        "text": "The user moved.",
        "related_to": "e2",
        "shared": ["Porto"],
        "outside_window": True,
    },
    frozenset(("related_to", "shared", "outside_window")),
)
_SESSION = Rows(_TURN, _CAPTIONS, always=True, needed=True)
_EARLIER = Rows(_TURN, _CAPTIONS)

CONTRACT: Mapping[str, Mapping[str, Variable]] = {
    # The response stage. `reply_rules` is the system message; there is none where it renders to nothing.
    "reply_rules": {"max_retrievals": Number(3)},
    "reply": {
        "core": _CORE,
        "personality": Rows({"trait": "openness", "score": 3.4, "descriptor": "open to new things"}),
        "omitted": Rows({"turns": 12}),
        "conversation": Rows(_TURN, _CAPTIONS),
        "instructions": Rows({"text": "Be brief."}),
        "message": Rows(
            {"time": _TIME, "text": "Where do I live?", "images": 1, "captions": ["a map"]},
            _CAPTIONS,
            always=True,
            needed=True,
        ),
        "max_retrievals": Number(3),
    },
    "memories": {
        "procedural": Rows({"id": "p1", "text": "Runs every Thursday."}, needed=True),
        "semantic": _FACT,
        "visual": _FACT,
        "episodes": _EPISODE,
        "turns": _FOUND_TURN,
        "widened": Rows({"kind": "semantic"}),
        "remaining": Rows({"retrievals": 2}, always=True),
    },
    "answer_now": {},
    # The update stage.
    "personality": {"core": _CORE, "earlier": _EARLIER, "turn": _SESSION},
    "semantic": {
        "core": _CORE,
        "related": Rows({"id": "m1", "text": "Lives in Faro.", "time": _TIME, "category": "fact"}),
        "earlier": _EARLIER,
        "turn": _SESSION,
        "limit": Number(6),
    },
    "episodic": {"core": _CORE, "turns": _SESSION},
    "procedural": {
        "core": _CORE,
        "procedural": Rows({"id": "m1", "key": "run", "text": "Runs on Thursdays."}, needed=True),
        "turns": _SESSION,
        "limit": Number(5),
    },
    "core": {
        "core": Rows({"id": "m1", "key": "name", "block": "human", "text": "Ana"}, needed=True),
        "turns": _SESSION,
        "low": Number(5),
        "high": Number(7),
    },
    "malformed": {"problem": Text("no JSON object with operations")},
}


def fields(template: str) -> frozenset[str]:
    """The names of all fields of all rows that a template is given."""
    given = (variable for variable in CONTRACT[template].values() if isinstance(variable, Rows))
    return frozenset(name for rows in given for name in rows.sample)


def sample_values(template: str) -> Iterator[dict[str, Any]]:
    """Values to try a template with: full, mixed, bare and empty sections, all together and one by one."""
    given = {name: variable.samples() for name, variable in CONTRACT[template].items()}
    most = max((len(samples) for samples in given.values()), default=1)
    for form in range(most):
        yield {name: samples[min(form, len(samples) - 1)] for name, samples in given.items()}
    full = {name: samples[0] for name, samples in given.items()}
    for name, samples in given.items():
        yield full | {name: samples[-1]}
