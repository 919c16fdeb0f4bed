"""Rollouts as they are kept and shown."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from personavlm.jobs.rollouts.memory import Snapshot
from personavlm.jobs.rollouts.records import Record, RecordedStep, append_records, read_records
from personavlm.jobs.rollouts.show_command import show
from personavlm.platform.errors import CommandError

SEARCHED = RecordedStep(
    action="retrieve",
    thinking="i should look",
    keywords="tea",
    start="2026-05-01",
    found=("m1",),
    shown="likes [b]green[/b] tea",
)
RIGHT = Record(
    step=3,
    group=7,
    question="q7",
    kind="SIR",
    text="which tea?",
    gold="green",
    answer="green",
    steps=(SEARCHED, RecordedStep(action="answer", thinking="so green")),
    parts={"accuracy": 1.0},
    reward=1.5,
    advantage=0.7,
    versions=("step-3",),
)
DROPPED = Record(step=4, group=8, question="q8", kind="", text="?", gold="x", failure="judge: down")


def shown(path: Path, **wanted: int | str | None) -> str:
    console = Console(file=io.StringIO(), width=80)
    show(path, 8, wanted.get("step"), wanted.get("question"), console)  # type: ignore[arg-type]
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "rollouts.jsonl"
    append_records(path, [RIGHT])
    append_records(path, [DROPPED])
    assert list(read_records(path)) == [RIGHT, DROPPED]


def test_a_rollout_is_shown_with_all_that_explains_it_within_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "rollouts.jsonl"
    append_records(path, [RIGHT, DROPPED])
    text = shown(path)
    for part in ("i should look", "tea from 2026-05-01", "[b]green[/b]", "reward 1.50", "+0.70", "step-3"):
        assert part in text
    assert "dropped: judge: down" in text and max(map(len, text.splitlines())) <= 80
    assert "q7" not in shown(path, step=4) and "no rollout matches" in shown(path, question="q9")


def test_a_line_that_is_no_rollout_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rollouts.jsonl"
    append_records(path, [RIGHT])
    path.write_text(path.read_text() + "{}\n")
    with pytest.raises(CommandError, match="line 2"):
        list(read_records(path))


def test_a_folder_without_memories_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"memory: .*no memory store"):
        Snapshot(tmp_path / "nowhere")
