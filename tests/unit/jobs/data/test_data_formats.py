"""What goes in comes out: ours through Parquet, the authors' as it is."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personavlm.jobs.data.json_items import json_items
from personavlm.jobs.data.problems import DataError
from personavlm.jobs.data.reading import conversations, questions, read_rows
from personavlm.jobs.data.rows import ConversationRow, QuestionRow, RowImage
from personavlm.jobs.data.writing import replacing, write_rows
from tests.unit.jobs.data.samples import (
    authors_rl,
    authors_sft,
    conversation_rows,
    question_rows,
    write_images,
    write_json,
)


@given(st.lists(conversation_rows(), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_conversations_survive_parquet(rows: list[ConversationRow]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        assert write_rows(rows, ConversationRow, path) == len(rows)
        assert list(conversations(path)) == rows


@given(st.lists(question_rows(), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_questions_survive_parquet(rows: list[QuestionRow]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        write_rows(rows, QuestionRow, path)
        assert list(questions(path)) == rows


@given(st.lists(st.text(max_size=20) | st.just("<image>"), max_size=6))
def test_placeholders_of_the_authors_can_be_put_back(pieces: list[str]) -> None:
    said = "".join(pieces) or "a"
    count = said.count("<image>")
    values = {
        "conversations": [{"from": "human", "value": said}, {"from": "gpt", "value": "yes"}],
        "image": [f"{number}.png" for number in range(count)],
    }
    with TemporaryDirectory() as folder:
        path = write_json(Path(folder) / "sft.json", [values])
        turn = next(conversations(path)).turns[0]
        names = [Path(image.path or "").name for image in turn.images]
    text = turn.text
    for image in reversed(turn.images):
        text = f"{text[: image.at]}<image>{text[image.at :]}"
    assert text == said
    assert names == values["image"]


@pytest.mark.parametrize("name", ["sft.json", "sft.jsonl"])
def test_the_authors_sft_file_loads_unchanged(tmp_path: Path, name: str) -> None:
    rows = list(conversations(write_json(tmp_path / name, authors_sft())))
    assert [row.kind for row in rows] == [
        "reasoning", "personality", "semantic", "episodic", "core", "procedural"
    ]  # fmt: skip
    first = rows[0]
    assert [turn.train for turn in first.turns] == [False, True, False, True]  # the last one too
    assert first.turns[0].images == (RowImage(path=str(tmp_path / "imgs/1.png"), at=0),)
    assert [image.at for image in first.turns[2].images] == [10, 24]
    assert first.turns[2].text == "The coast  and the pier ."


@pytest.mark.parametrize("name", ["rl.json", "rl.jsonl"])
def test_the_authors_rl_file_loads_unchanged(tmp_path: Path, name: str) -> None:
    choice, opened = questions(write_json(tmp_path / name, authors_rl()))
    assert (choice.kind, choice.gold, choice.full_prompt) == ("choice", "(b)", choice.prompt)
    assert (opened.kind, opened.prompt) == ("open", " Whose dog?")
    assert opened.images == (RowImage(path=str(tmp_path / "imgs/1.png")),)


def test_paths_of_images_follow_the_file(tmp_path: Path) -> None:
    write_images(tmp_path)
    rows = list(conversations(write_json(tmp_path / "sft.json", authors_sft())))
    target = tmp_path / "deep" / "er" / "rows.parquet"
    write_rows(rows, ConversationRow, target)
    assert pq.read_table(target)["turns"][0][0]["images"][0]["path"].as_py() == "../../imgs/1.png"
    assert list(conversations(target)) == rows
    tmp_path.joinpath("deep").rename(tmp_path / "other")
    assert list(conversations(tmp_path / "other" / "er")) == rows


def test_a_folder_is_all_of_its_files(tmp_path: Path) -> None:
    write_json(tmp_path / "b.json", authors_rl())
    write_json(tmp_path / "a.jsonl", authors_sft())
    assert [type(row) for row in read_rows(tmp_path)] == [ConversationRow] * 6 + [QuestionRow] * 2


def test_what_was_not_finished_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    with pytest.raises(ZeroDivisionError), replacing(path) as unfinished:
        unfinished.write_text(str(1 / 0))
    assert list(tmp_path.iterdir()) == []


json_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@given(st.lists(json_values), st.integers(1, 30), st.sampled_from([None, 1]))
def test_lists_are_read_in_pieces_of_any_size(items: list[Any], size: int, indent: int | None) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "list.json"
        path.write_text(json.dumps(items, indent=indent, ensure_ascii=False), encoding="utf-8")
        assert [value for _, value in json_items(path, size)] == items


@pytest.mark.parametrize("text", ["[1, 2", "[1 2]", "[1, oops]", "[", "[1,]"])
def test_a_broken_list_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "list.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"list\.json"):
        list(json_items(path))
