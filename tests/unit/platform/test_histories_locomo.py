"""LoCoMo's conversations, read into our form."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from personavlm.platform.histories import HistoryError, load
from personavlm.platform.histories.locomo import evidence_ids


def write(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def message(speaker: str, id: str, text: str, **more: str) -> dict[str, str]:
    return {"speaker": speaker, "dia_id": id, "text": text} | more


def locomo_sample(**changes: object) -> dict[str, Any]:
    conversation = {
        "speaker_a": "Ida",
        "speaker_b": "Ole",
        "session_1_date_time": "1:56 pm on 8 May, 2023",
        "session_1": [
            message("Ole", "D1:1", "Hi Ida."),
            message("Ida", "D1:2", "Hi Ole.", blip_caption="a photo of a kite"),
            message("Ole", "D1:3", "Nice kite."),
            message("Ida", "D1:4", "It is new."),
            message("Ida", "D1:5", "I sewed it."),
        ],
        "session_2_date_time": "12:09 am on 7 May, 2023",
        "session_2": [message("Ida", "D2:1", "It flew."), message("Ole", "D2:2", "Far?")],
        "session_10_date_time": "9:00 am on 9 May, 2023",
    }
    questions = [
        {"question": "What is new?", "answer": 1, "evidence": ["D1:2", "D1:3", "D:2:1"], "category": 4},
        {
            "question": "Who fell?",
            "adversarial_answer": "Ole",
            "evidence": ["D1:4; D1:1", "D9:9", "D"],
            "category": 5,
        },
    ]
    return {"sample_id": "conv-1", "conversation": conversation, "qa": questions} | changes


def test_locomo_pairs_messages_into_turns(tmp_path: Path) -> None:
    [history] = load(write(tmp_path / "locomo.json", [locomo_sample()]), "locomo")

    assert [(turn.id, turn.user_text, turn.assistant_text) for turn in history.turns] == [
        ("D1:1", "", "Hi Ida."),
        ("D1:2+D1:3", "Hi Ole. (shares a photo: a photo of a kite)", "Nice kite."),
        ("D1:4", "It is new.", ""),
        ("D1:5", "I sewed it.", ""),
        ("D2:1+D2:2", "It flew.", "Far?"),
    ]
    assert history.turns[1].event_time == datetime(2023, 5, 8, 13, 57, tzinfo=UTC)
    assert history.turns[4].event_time == datetime(2023, 5, 7, 0, 9, tzinfo=UTC)
    assert history.runs_backwards
    assert len(history.sessions()) == 2
    assert history.core == {"name": "Ida", "assistant name": "Ole"}


def test_locomo_maps_evidence_to_turns(tmp_path: Path) -> None:
    [history] = load(write(tmp_path / "locomo.json", [locomo_sample()]), "locomo")
    first, second = history.questions
    assert (first.task, first.answer, first.expected_evidence) == (
        "single-hop",
        "1",
        ("D1:2+D1:3", "D2:1+D2:2"),
    )
    assert (second.task, second.answer, second.expected_evidence) == ("adversarial", "", ("D1:4", "D1:1"))
    assert history.unmapped_evidence == ("q2: D9:9", "q2: D")
    assert first.event_time == datetime(2023, 5, 9, 13, 59, tzinfo=UTC)  # a day after the latest turn


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("D8:6; D9:17", ("D8:6", "D9:17")),
        ("D:11:26", ("D11:26",)),
        ("D1:3 D1:4", ("D1:3", "D1:4")),
        ("D30:05", ("D30:5",)),
        ("D", ()),
        ("", ()),
    ],
)
def test_locomo_evidence_may_be_written_carelessly(text: str, ids: tuple[str, ...]) -> None:
    assert evidence_ids(text) == ids


def test_locomo_names_the_field_at_fault(tmp_path: Path) -> None:
    broken = locomo_sample()
    broken["conversation"]["session_2_date_time"] = "last week"
    cases: list[tuple[object, str]] = [
        ({}, "is not a JSON list"),
        ([{}], "0.conversation: is missing or names no speakers"),
        ([locomo_sample(), broken], "1.conversation.session_2_date_time: 'last week' is no date"),
        ([locomo_sample(qa="none")], "0.qa: is no list"),
    ]
    for number, (document, expected) in enumerate(cases):
        with pytest.raises(HistoryError) as raised:
            load(write(tmp_path / f"{number}.json", document), "locomo")
        assert expected in str(raised.value)
    broken["conversation"] |= {
        "session_2_date_time": "1:00 pm on 9 May, 2023",
        "session_2": [{"speaker": "Ida"}],
    }
    with pytest.raises(
        HistoryError, match=r"0\.conversation\.session_2: a message is incomplete \('dia_id'\)"
    ):
        load(write(tmp_path / "broken.json", [broken]), "locomo")
    with pytest.raises(HistoryError, match="LoCoMo keeps its questions in the same file"):
        load(tmp_path / "0.json", "locomo", tmp_path / "questions.json")


def test_locomo_as_published() -> None:
    name = os.environ.get("PERSONAVLM_LOCOMO")
    if not name:
        pytest.skip("PERSONAVLM_LOCOMO does not name LoCoMo's file, which the project must not hold")
    histories = load(Path(name), "locomo")
    messages = [id for history in histories for turn in history.turns for id in turn.id.split("+")]
    assert (len(histories), len(messages)) == (6, 3435)
    assert sum(len(history.questions) for history in histories) == 1157
    unmapped = [entry for history in histories for entry in history.unmapped_evidence]
    assert len(unmapped) == 2
