"""Every kind of damage is named: file, row, field, remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from personavlm.jobs.data.reading import conversations
from personavlm.jobs.data.rows import ConversationRow, QuestionRow
from personavlm.jobs.data.schema import CONVERSATIONS, QUESTIONS
from personavlm.jobs.data.validation import validate
from personavlm.jobs.data.writing import write_rows
from personavlm.platform import cli
from tests.unit.jobs.data.samples import authors_rl, authors_sft, png, write_images, write_json

USER = {"role": "user", "text": "Hello", "images": [], "train": False}
REPLY = {"role": "assistant", "text": "Hi", "images": [], "train": True}
CONVERSATION: dict[str, Any] = {"id": "one", "source": "", "kind": "reasoning", "turns": [USER, REPLY]}
QUESTION: dict[str, Any] = {
    "id": "one", "source": "", "kind": "open", "prompt": "When?", "gold": "Now", "options": [],
    "evidence": [], "images": [], "user": None, "asked_at": None, "utc_offset_minutes": 0,
}  # fmt: skip
SOUND, NO_IMAGE = {"path": None, "data": png(), "at": 0}, {"path": "gone.png", "data": None, "at": 0}


def with_image(image: dict[str, Any]) -> dict[str, Any]:
    return {**CONVERSATION, "turns": [{**USER, "images": [image]}, REPLY]}


@pytest.mark.parametrize(
    ("changed", "field", "words"),
    [
        ({**CONVERSATION, "id": None}, "id", "valid string"),
        ({**CONVERSATION, "kind": ""}, "kind", "at least 1"),
        ({**CONVERSATION, "turns": [REPLY]}, "turns[0].role", "assistant message stands"),
        ({**CONVERSATION, "turns": [USER]}, "turns", "does not end with the assistant"),
        ({**CONVERSATION, "turns": []}, "turns", "does not end with the assistant"),
        ({**CONVERSATION, "turns": [USER, {**REPLY, "train": False}]}, "turns", "no message is trained on"),
        ({**CONVERSATION, "turns": [{**USER, "train": True}, REPLY]}, "turns[0].train", "cannot be trained"),
        ({**CONVERSATION, "turns": [USER, {**REPLY, "role": "gpt"}]}, "turns[1].role", "Input should be"),
        ({**CONVERSATION, "turns": [USER, {**REPLY, "text": ""}]}, "turns[1].text", "is empty"),
        ({**CONVERSATION, "turns": [USER, {**REPLY, "images": [SOUND]}]}, "turns[1].images", "holds images"),
        (with_image(NO_IMAGE), "turns[0].images[0]", "gone.png cannot be read (No such file"),
        (with_image({**SOUND, "data": b"no"}), "turns[0].images[0]", "is no image in PNG"),
        (with_image({**SOUND, "at": 9}), "turns[0].images", "no order of images"),
        (with_image({**SOUND, "path": "a.png"}), "turns[0].images[0].path", "not both"),
    ],
)
def test_a_wrong_conversation_is_named(tmp_path: Path, changed: dict, field: str, words: str) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist([{**CONVERSATION, "id": "two"}, changed], CONVERSATIONS), path)
    findings = validate(path)
    assert [(one.file, one.row, one.field) for one in findings.problems] == [(path, 2, field)]
    assert words in findings.problems[0].problem
    assert len(findings.problems[0].remedy) > 5
    assert findings.wrong_rows == findings.problem_count == 1


@pytest.mark.parametrize(
    ("changed", "field", "words"),
    [
        ({"prompt": ""}, "prompt", "at least 1"),
        ({"gold": None}, "gold", "valid string"),
        ({"options": ["tea"], "gold": "(a)"}, "options", "1 options"),
        ({"options": ["tea", "tea"], "gold": "(a)"}, "options", "some twice"),
        ({"options": ["tea", "milk"], "gold": "milk"}, "gold", "'milk' is none of the options"),
        ({"user": "ana"}, "asked_at", "needs a time"),
        ({"evidence": ["t1"]}, "user", "not whose"),
        ({"images": [NO_IMAGE]}, "images[0]", "cannot be read"),
        ({"options": None}, "options", "valid tuple"),
    ],
)
def test_a_wrong_question_is_named(tmp_path: Path, changed: dict, field: str, words: str) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist([QUESTION | changed], QUESTIONS), path)
    (problem,) = validate(path).problems
    assert (problem.row, problem.field) == (1, field)
    assert words in problem.problem


@pytest.mark.parametrize(
    ("row", "field", "words"),
    [
        ({"conversations": [{"from": "human"}]}, "conversations[0].value", "required"),
        ({"conversations": [{"from": "human", "value": "x"}]}, "conversations", "does not end"),
        ({"conversations": 3}, "conversations", "valid tuple"),
        ({**authors_sft()[0], "image": ["imgs/1.png"]}, "image", "1 images are listed for 3 placeholders"),
        ("text", "", "is no object"),
    ],
)
def test_a_wrong_row_of_the_authors_format_is_named(
    tmp_path: Path, row: object, field: str, words: str
) -> None:
    write_images(tmp_path)
    path = write_json(tmp_path / "sft.jsonl", [authors_sft()[0], row])
    (problem,) = validate(path).problems
    assert (problem.row, problem.field) == (2, field)
    assert words in problem.problem


@pytest.mark.parametrize(
    ("table", "field", "words"),
    [
        (pa.Table.from_pylist([CONVERSATION], CONVERSATIONS).drop(["kind"]), "kind", "is missing"),
        (pa.table({"turns": [1], "id": ["a"], "source": [""], "kind": ["b"]}), "turns", "of type int64"),
        (pa.table({"words": ["a"]}), "", "neither conversations nor questions"),
        (pa.Table.from_pylist([], CONVERSATIONS), "", "holds no row"),
        (
            pa.Table.from_pylist([CONVERSATION], CONVERSATIONS).append_column("more", [["x"]]),
            "more",
            "is no column",
        ),
    ],
)
def test_wrong_columns_are_named(tmp_path: Path, table: pa.Table, field: str, words: str) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(table, path)
    (problem,) = validate(path).problems
    assert (problem.row, problem.field) == (0, field)
    assert words in problem.problem


def test_files_that_are_none_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("no")
    (tmp_path / "b.parquet").write_text("no")
    findings = validate(tmp_path)
    assert [one.file.name for one in findings.problems] == ["a.parquet", "b.parquet"]
    assert "is no Parquet file" in findings.problems[0].problem


def test_ids_are_unique_over_all_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        pq.write_table(pa.Table.from_pylist([CONVERSATION], CONVERSATIONS), tmp_path / f"{name}.parquet")
    (problem,) = validate(tmp_path).problems
    assert (problem.file.name, problem.field) == ("b.parquet", "id")
    assert "row 1 of a.parquet" in problem.problem


def test_text_columns_of_other_writers_are_taken(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([CONVERSATION], CONVERSATIONS)
    large = pa.schema([field.with_type(_large(field.type)) for field in CONVERSATIONS])
    pq.write_table(table.cast(large), tmp_path / "rows.parquet")
    assert next(conversations(tmp_path)).turns[1].text == "Hi"


def _large(kind: pa.DataType) -> pa.DataType:
    return pa.large_string() if pa.types.is_string(kind) else kind


def test_the_command_prints_counts_and_problems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_images(tmp_path)
    path = write_json(tmp_path / "sft.json", authors_sft())
    assert cli.main(["data", "validate", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "No problems." in printed
    assert "16.7%" in printed  # one of six rows

    (tmp_path / "imgs" / "2.png").unlink()
    assert cli.main(["data", "validate", str(path)]) == 1
    printed = capsys.readouterr().out
    assert f"{path}: row 1: turns[2].images[0]:" in printed
    assert "Put a PNG, JPEG or WebP file there." in printed


def test_no_more_problems_are_printed_than_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_json(tmp_path / "sft.json", [{"conversations": []} for _ in range(9)])
    assert cli.main(["data", "validate", str(path), "--limit", "2"]) == 1
    printed = capsys.readouterr().out
    assert printed.count("does not end") == 2
    assert "7 more" in printed
    assert "9 problems in 9 rows" in printed


@pytest.mark.parametrize("embed", [False, True])
def test_convert_writes_what_validates(tmp_path: Path, embed: bool) -> None:
    write_images(tmp_path)
    source, target = write_json(tmp_path / "sft.json", authors_sft()), tmp_path / "ours" / "sft.parquet"
    assert cli.main(["data", "convert", str(source), str(target), *["--embed-images"] * embed]) == 0
    assert validate(target).problem_count == 0
    ours, theirs = conversations(target), conversations(source)
    for mine, their in zip(ours, theirs, strict=True):
        images = [image for turn in mine.turns for image in turn.images]
        assert all(bool(image.data) == embed for image in images)
        assert [turn.text for turn in mine.turns] == [turn.text for turn in their.turns]


def test_convert_says_what_it_cannot_convert(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_json(tmp_path / "a.json", authors_sft())
    write_json(tmp_path / "b.json", authors_rl())
    assert cli.main(["data", "convert", str(tmp_path), str(tmp_path / "all.parquet")]) == 1
    assert "holds conversations and questions" in capsys.readouterr().err
    assert cli.main(["data", "convert", str(tmp_path), str(tmp_path / "all.csv")]) == 1
    assert "does not end in .parquet" in capsys.readouterr().err
    assert cli.main(["data", "convert", str(tmp_path / "a.json"), "/dev/null/all.parquet"]) == 1
    assert "all.parquet: cannot be written" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.json"]


def test_both_kinds_of_rows_are_counted(tmp_path: Path) -> None:
    write_rows([ConversationRow.model_validate(CONVERSATION)], ConversationRow, tmp_path / "c.parquet")
    write_rows([QuestionRow.model_validate(QUESTION)], QuestionRow, tmp_path / "q.parquet")
    findings = validate(tmp_path)
    assert list(findings.tallies) == [("conversation", "reasoning"), ("question", "open")]
    assert findings.tallies["conversation", "reasoning"].trained == 1
