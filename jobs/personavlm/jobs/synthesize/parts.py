"""One person's results on the disk. A part counts once its statistics are there, which are written last."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from personavlm.jobs.data.rows import LETTERS, ConversationRow, QuestionRow, Record
from personavlm.jobs.data.writing import replacing, write_rows
from personavlm.jobs.synthesize.asks import KINDS, Ask
from personavlm.jobs.synthesize.life import Life, LifeTurn, Picture
from personavlm.jobs.synthesize.pictures import picture_name
from personavlm.platform.histories import History, HistoryImage, HistoryQuestion, HistoryTurn

if TYPE_CHECKING:  # it opens LanceDB, which the process that starts Ray must not
    from personavlm.jobs.synthesize.supervision import Supervised

CONVERSATIONS, QUESTIONS = "conversations.parquet", "questions.parquet"
HISTORY, STORE, STATISTICS = "history.json", "store.zip", "statistics.json"


class PartStatistics(Record):
    """What is counted of one person. ``traits`` are those of the profile after each turn."""

    user: str
    turns: int
    sessions: int
    days: int
    image_turns: int
    changed: int
    drifts: bool
    samples: dict[str, int]
    asked: dict[str, int]
    forms: dict[str, int]
    retrievals: tuple[int, ...]
    traits: tuple[tuple[float, ...], ...]
    left_out: dict[str, int]
    corrected: int


def write_part(output: Path, life: Life, made: Supervised) -> PartStatistics:
    """Everything of one person; the images go to the folder of all."""
    folder = part_folder(output, life.persona.user)
    shutil.rmtree(folder, ignore_errors=True)  # what an interrupted run left of it
    for name, data in made.images.items():
        _write(output / "images" / f"{name}.png", data)
    write_rows(made.conversations, ConversationRow, folder / CONVERSATIONS)
    write_rows(made.questions, QuestionRow, folder / QUESTIONS)
    _write(folder / HISTORY, history_of(life, made.asks).model_dump_json(indent=1).encode())
    _write(folder / STORE, made.archive)
    statistics = _statistics(life, made)
    _write(folder / STATISTICS, statistics.model_dump_json().encode())
    return statistics


def part_folder(output: Path, user: str) -> Path:
    """Where the results of one person are until all are together."""
    return output / "parts" / user


def read_statistics(output: Path, user: str) -> PartStatistics | None:
    """The statistics of a part that is whole; ``None`` where it is not."""
    try:
        text = (part_folder(output, user) / STATISTICS).read_text(encoding="utf-8")
        return PartStatistics.model_validate_json(text)
    except (FileNotFoundError, ValidationError):
        return None


def history_of(life: Life, asks: list[Ask]) -> History:
    """The life in the format of recorded histories, which `personavlm replay` reads."""
    return History(
        user=life.persona.user,
        description=life.persona.description,
        turns=tuple(_history_turn(turn) for turn in life.turns),
        questions=tuple(_history_question(ask) for ask in asks),
    )


def _history_turn(turn: LifeTurn) -> HistoryTurn:
    return HistoryTurn(
        id=turn.id,
        event_time=turn.time,
        user_text=turn.user_text,
        assistant_text=turn.assistant_text,
        images=_history_images(turn.beat.picture),
    )


def _history_question(ask: Ask) -> HistoryQuestion:
    choices = dict(zip(LETTERS, ask.options, strict=False))
    return HistoryQuestion(
        id=ask.id,
        task=KINDS[ask.kind],
        question=ask.text,
        event_time=ask.time,
        expected_evidence=ask.evidence,
        answer=ask.letter.strip("()") or ask.gold,
        images=_history_images(ask.picture),
        choices=choices,
        must_contain=() if choices or ask.kind == "absent" else (ask.gold,),
    )


def _history_images(picture: Picture | None) -> tuple[HistoryImage, ...]:
    return (HistoryImage(path=f"../images/{picture_name(picture)}"),) if picture else ()


def _statistics(life: Life, made: Supervised) -> PartStatistics:
    turns, persona = life.turns, life.persona
    return PartStatistics(
        user=persona.user,
        turns=len(turns),
        sessions=len({turn.session for turn in turns}),
        days=(turns[-1].time.date() - turns[0].time.date()).days + 1,
        image_turns=sum(turn.beat.picture is not None for turn in turns),
        changed=sum(bool(turn.beat.previous) for turn in turns),
        drifts=persona.traits != persona.later_traits,
        samples=dict(sorted(Counter(row.kind for row in made.conversations).items())),
        asked=dict(sorted(Counter(KINDS[ask.kind] for ask in made.asks).items())),
        forms=dict(sorted(Counter(_form(len(row.options)) for row in made.questions).items())),
        retrievals=tuple(made.retrievals),
        traits=tuple(made.traits),
        left_out=dict(sorted(made.left_out.items())),
        corrected=life.corrected + made.corrected,
    )


def _form(options: int) -> str:
    return {0: "open", 2: "binary"}.get(options, "choice")


def _write(path: Path, data: bytes) -> None:
    with replacing(path) as unfinished:
        unfinished.write_bytes(data)
