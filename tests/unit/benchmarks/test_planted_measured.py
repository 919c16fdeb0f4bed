"""Planted conversations through the shipped signals, and the other sources in their shape."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from personavlm.memory_store.retrieval.signals import SIGNALS
from tests.benchmarks.planted.encodings import RememberingEncoder
from tests.benchmarks.planted.measured import Measured, measure, recall, reciprocal_rank, single_signals, unit
from tests.benchmarks.planted.records import Conversation, Message, Question
from tests.benchmarks.planted.sources import demo, locomo

NOON = datetime(2025, 5, 4, 12, tzinfo=UTC)
QUESTION = Question("Where?", "single-hop", ("b", "c"), NOON)


def measured(signals: list[list[float]], units: list[int], evidence: list[int]) -> Measured:
    return Measured(QUESTION, np.array(signals, np.float32), np.array(units), np.array(evidence))


def test_a_unit_is_as_good_as_its_best_text() -> None:
    one = measured([[0.1], [0.9], [0.5], [0.2]], units=[0, 0, 1, 2], evidence=[2, 0])
    assert one.ranks(np.array([1.0])).tolist() == [2, 0]


def test_recall_is_the_share_of_evidence_among_the_best() -> None:
    one = measured([[3], [2], [1], [0]], units=[0, 1, 2, 3], evidence=[1, 3])
    assert recall([one], np.ones(1), k=2) == 0.5
    assert reciprocal_rank([one], np.ones(1)) == 0.5


def test_a_query_holds_its_evidence_and_nothing_of_what_is_off() -> None:
    rng = np.random.default_rng(1)
    one = Measured(QUESTION, rng.normal(size=(50, 3)).astype(np.float32), np.arange(50), np.array([7, 44]))
    query = one.query([1], most=5, weight=0.5)
    assert query.evidence.sum() == 2 and 5 <= len(query.evidence) <= 7
    assert not query.signals[:, 1].any() and query.signals[:, [0, 2]].all()
    assert one.signals[:, 1].all()


def test_a_message_with_the_answer_stands_first_by_its_words(tmp_path: Path) -> None:
    texts = ("My otter plays the trumpet.", "The bridge was closed.", "I had soup.", "It rained again.")
    messages = tuple(Message(str(i), 0, ("Ada", "Bo")[i % 2], NOON, text) for i, text in enumerate(texts))
    asked = Question("Who plays the trumpet at Ada's?", "single-hop", ("0",), NOON)
    encoder = RememberingEncoder(tmp_path)
    (found,) = measure(Conversation("c", ("Ada", "Bo"), messages, (asked,)), encoder)
    assert found.signals.shape == (4, len(SIGNALS))
    alone = dict(single_signals())
    assert [found.ranks(alone[name]).tolist() for name in ("bm25", "dense", "tokens")] == [[0]] * 3


def test_what_was_encoded_once_is_read_back(tmp_path: Path) -> None:
    texts = ["One. Two.", "Three!"]
    first = RememberingEncoder(tmp_path).encode_tokens(texts)
    (file,) = tmp_path.iterdir()
    changed = file.stat().st_mtime_ns
    again = RememberingEncoder(tmp_path).encode_tokens(texts)
    assert file.stat().st_mtime_ns == changed
    for a, b in zip(first, again, strict=True):
        assert a.ids.tolist() == b.ids.tolist() and a.sentences.tolist() == b.sentences.tolist()
        assert a.tokens == pytest.approx(b.tokens) and np.linalg.norm(b.vector) == pytest.approx(1, abs=1e-5)


def test_the_demo_names_turns_that_are_there() -> None:
    conversation = demo()
    known = {unit(message.id) for message in conversation.messages}
    assert conversation.questions
    assert all(known >= set(question.evidence) for question in conversation.questions)


def test_locomo_is_read_message_by_message(tmp_path: Path) -> None:
    turns = [
        {"speaker": "Ada", "dia_id": "D1:1", "text": "Hi."},
        {"speaker": "Bo", "dia_id": "D1:2", "text": "Hello.", "blip_caption": "a hat"},
    ]
    told = {"speaker_a": "Ada", "speaker_b": "Bo", "session_1": turns}
    told["session_1_date_time"] = "1:56 pm on 8 May, 2023"
    asked = [
        {"question": "What hat?", "evidence": ["D1:2; D9:9"], "category": 5},
        {"question": "None?", "evidence": [], "category": 1},
    ]
    file = tmp_path / "data.json"
    file.write_text(json.dumps([{"conversation": told, "qa": asked}]))
    (conversation,) = locomo(file)
    assert [message.caption for message in conversation.messages] == ["", "a hat"]
    assert conversation.messages[0].time == datetime(2023, 5, 8, 13, 56, tzinfo=UTC)
    assert [(q.category, q.evidence) for q in conversation.questions] == [("adversarial", ("D1:2",))]
