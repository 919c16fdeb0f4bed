"""Training data for tests: rows by Hypothesis, the authors' layout, and small images."""

from __future__ import annotations

import json
from datetime import UTC
from io import BytesIO
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from PIL import Image

from personavlm.jobs.data.rows import LETTERS, ConversationRow, QuestionRow, RowImage, RowTurn


def png(color: str = "red") -> bytes:
    file = BytesIO()
    Image.new("RGB", (28, 28), color).save(file, "PNG")
    return file.getvalue()


texts = st.text(min_size=1, max_size=40)
paths = st.from_regex(r"[a-z]{1,5}/[a-z]{1,5}\.png", fullmatch=True).map(lambda path: f"/pictures/{path}")


@st.composite
def placed_images(draw: st.DrawFn, text: str) -> tuple[RowImage, ...]:
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    bytes_or_path = st.binary(min_size=1, max_size=8) | paths
    drawn = [draw(bytes_or_path) for _ in places]
    return tuple(
        RowImage(data=one, at=at) if isinstance(one, bytes) else RowImage(path=one, at=at)
        for one, at in zip(drawn, places, strict=True)
    )


@st.composite
def conversation_rows(draw: st.DrawFn) -> ConversationRow:
    turns = [RowTurn(role="system", text=draw(texts))] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        said = draw(texts)
        turns.append(RowTurn(role="user", text=said, images=draw(placed_images(said))))
        turns.append(RowTurn(role="assistant", text=draw(texts), train=draw(st.booleans())))
    turns[-1] = turns[-1].model_copy(update={"train": True})
    return ConversationRow(id=draw(texts), source=draw(st.text()), kind=draw(texts), turns=tuple(turns))


@st.composite
def question_rows(draw: st.DrawFn) -> QuestionRow:
    prompt = draw(texts)
    options = draw(st.lists(st.text(max_size=9), min_size=2, max_size=8, unique=True) | st.just([]))
    gold = f"({draw(st.sampled_from(LETTERS[: len(options)]))})" if options else draw(texts)
    times = st.datetimes(timezones=st.just(UTC))
    return QuestionRow(
        id=draw(texts),
        kind=draw(texts),
        prompt=prompt,
        gold=gold,
        options=tuple(options),
        evidence=tuple(draw(st.lists(texts, max_size=2))),
        images=draw(placed_images(prompt)),
        user=draw(texts),
        asked_at=draw(times),
        utc_offset_minutes=draw(st.integers(-720, 840)),
    )


def authors_sft() -> list[dict[str, Any]]:
    """A row of each kind that the authors train on."""
    retrieve = '<think>when?</think><retrieve>\n"keywords": trip\n"start_time": 2025-01-06 00:00\n</retrieve>'
    return [
        {
            "conversations": [
                {"from": "human", "value": "<image>\nWhere was this?"},
                {"from": "gpt", "value": retrieve},
                {"from": "human", "value": "The coast <image> and the pier <image>."},
                {"from": "gpt", "value": "<think>found</think><answer>On the coast.</answer>"},
            ],
            "image": ["./imgs/1.png", "./imgs/2.png", "./imgs/1.png"],
        },
        _one('"openness": 4\n"conscientiousness": 3'),
        _one('"reason": new\n"decision": True\n"content": Ana moved.\n"keywords": home'),
        _one('"topic_summary": a dog\n"keywords": dog\n"source_dialog_indices": 0, 2'),
        _one('"name": Ana\n"preferences": tea'),
        _one('"weekly run": Ana runs every Thursday.'),
    ]


def _one(target: str) -> dict[str, Any]:
    return {"conversations": [{"from": "human", "value": "Update."}, {"from": "gpt", "value": target}]}


def authors_rl() -> list[dict[str, Any]]:
    """A choice and an open question."""
    return [
        {
            "messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": gold}],
            "images": images,
        }
        for prompt, gold, images in (
            ("Which one?\n(a) tea\n(b) milk", "(b)", []),
            ("<image> Whose dog?", "Ana's", ["imgs/1.png"]),
        )
    ]


def write_images(folder: Path) -> None:
    (folder / "imgs").mkdir(parents=True, exist_ok=True)
    (folder / "imgs" / "1.png").write_bytes(png("red"))
    (folder / "imgs" / "2.png").write_bytes(png("blue"))


def write_json(path: Path, rows: list[Any]) -> Path:
    """A JSON list, or JSON Lines where the name says so."""
    lines = path.suffix == ".jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) if lines else json.dumps(rows, indent=1))
    return path
