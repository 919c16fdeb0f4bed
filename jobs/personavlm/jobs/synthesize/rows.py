"""What was lived through, as rows of training data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC
from pathlib import Path
from random import Random

from personavlm.jobs.data.rows import ConversationRow, Images, QuestionRow, RowImage, RowTurn, with_options
from personavlm.jobs.synthesize.asks import KINDS, Ask
from personavlm.jobs.synthesize.config import MixConfig
from personavlm.memory_store import ImageRef, Turn
from personavlm.platform.engines.base import Segment
from personavlm.platform.prompts.render import read_task

SOURCE = "synthesize"


class Rows:
    """Rows of one user, numbered by kind. Images are files of ``folder``, named by their SHA-256."""

    def __init__(self, user: str, folder: Path) -> None:
        self.conversations: list[ConversationRow] = []
        self.questions: list[QuestionRow] = []
        self._user, self._folder = user, folder
        self._numbers: Counter[str] = Counter()

    def add_memory(self, segments: Sequence[Segment]) -> None:
        """An exchange of the update stage; its kind is the task of its prompt."""
        kind = read_task(segments[0].text)
        self._add(kind, self._id(kind), segments)

    def add_reasoning(self, what: str, segments: Sequence[Segment]) -> None:
        """A trajectory of the agent."""
        self._add("reasoning", self._id(f"reasoning-{what}"), segments)

    def add_question(self, ask: Ask, turns: Mapping[str, Turn], shown: Sequence[ImageRef]) -> None:
        """A question to practise on. Evidence is named by the ids that the store gave the turns."""
        offset = ask.time.utcoffset()
        self.questions.append(
            QuestionRow(
                id=ask.id,
                source=SOURCE,
                kind=KINDS[ask.kind],
                prompt=ask.text,
                gold=ask.letter or ask.gold,
                options=ask.options,
                evidence=tuple(turns[id].id for id in ask.evidence),
                images=self._images(shown),
                user=self._user,
                asked_at=ask.time.astimezone(UTC),
                utc_offset_minutes=int(offset.total_seconds() // 60) if offset else 0,
            )
        )

    def _add(self, kind: str, id: str, segments: Sequence[Segment]) -> None:
        turns = tuple(
            RowTurn(
                role=segment.role,
                text=segment.text,
                images=self._images(segment.images),
                train=segment.role == "assistant",
            )
            for segment in segments
        )
        self.conversations.append(ConversationRow(id=id, source=SOURCE, kind=kind, turns=turns))

    def _images(self, refs: Sequence[ImageRef]) -> Images:
        return tuple(RowImage(path=str(self._folder / f"{ref.sha256}.png")) for ref in refs)

    def _id(self, what: str) -> str:
        self._numbers[what] += 1
        return f"{self._user}-{what}-{self._numbers[what]:04d}"


def full_text(ask: Ask) -> str:
    """The question with its options, as a user sends them."""
    return with_options(ask.text, ask.options)


def mixed(rows: Sequence[ConversationRow], mix: MixConfig, rng: Random) -> list[ConversationRow]:
    """All reasoning, and as much of the rest as keeps the shares, in the order in which it was lived.

    Exchanges of the update stage in which nothing was to be kept stand back: most turns are such.
    """
    reasoning = [row for row in rows if row.kind == "reasoning"]
    scores = [row for row in rows if row.kind == "personality"]
    memory = [row for row in rows if row.kind not in ("reasoning", "personality")]
    per_row = len(reasoning) / mix.reasoning
    kept = {row.id for row in reasoning}
    kept |= {row.id for row in _some(scores, round(mix.personality * per_row), rng)}
    kept |= {row.id for row in _some(memory, round(mix.memory * per_row), rng)}
    return [row for row in rows if row.id in kept]


def _some(rows: Sequence[ConversationRow], count: int, rng: Random) -> list[ConversationRow]:
    shuffled = rng.sample(rows, len(rows))
    telling = sorted(shuffled, key=_tells_nothing)
    spare = count // 10  # of those that tell nothing: to be silent has to be learned, too
    silent = [row for row in telling if _tells_nothing(row)][:spare]
    return [*telling[: count - len(silent)], *silent][:count]


def _tells_nothing(row: ConversationRow) -> bool:
    answer = row.turns[-1].text
    return answer == '{"operations": []}' or (
        row.kind == "personality" and set(answer) & set("1245") == set()
    )
