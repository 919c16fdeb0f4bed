"""The LoCoMo benchmark's own arithmetic, and a small file of LoCoMo's form through a real store."""

import json
from pathlib import Path

import numpy as np
import pytest

from personavlm.memory_store.retrieval.signals import SIGNALS
from tests.benchmarks.locomo_parts.conversations import ask, fill, index_of, load, open_store
from tests.benchmarks.locomo_parts.metrics import COLUMNS, interval, measures, reciprocal_rank_fusion
from tests.unit.memory_store.encoders import WordEncoder

MESSAGES = [
    ("Ida", "D1:1", "Hello there!"),
    ("Ole", "D1:2", "Hi! What instrument do you play?"),
    ("Ida", "D1:3", "The oboe, in an orchestra."),
    ("Ida", "D1:4", "And I cook."),
    ("Ole", "D1:5", "I like soup."),
]
QUESTIONS = [
    {"question": "What does Ida play?", "category": 4, "evidence": ["D1:3"]},
    {"question": "Who likes soup?", "category": 1, "evidence": ["D1:5; D1:2"]},
    {"question": "Unanswerable", "category": 5, "evidence": []},
]


def test_measures_by_hand() -> None:
    scores = np.array([0.1, 0.9, 0.5, 0.7], np.float32)
    found = dict(zip(COLUMNS, measures(scores, np.array([1, 2])), strict=True))
    assert found == {"R@1": 0.5, "R@3": 1, "R@5": 1, "R@10": 1, "R@20": 1, "MRR": 1, "all@10": 1}
    last = dict(zip(COLUMNS, measures(scores, np.array([0])), strict=True))
    assert (last["R@3"], last["R@5"], last["MRR"]) == (0, 1, 0.25)


def test_an_interval_holds_the_mean_and_knows_a_sure_difference() -> None:
    draws = np.random.default_rng(1).random(400)
    mean, low, high = interval(draws + 0.1, draws)
    assert (mean, low, high) == pytest.approx((0.1, 0.1, 0.1))
    mean, low, high = interval(draws, np.random.default_rng(2).random(400))
    assert low < mean < high and low < 0 < high


def test_fusion_adds_reciprocal_places() -> None:
    fused = reciprocal_rank_fusion([np.array([3, 2, 1], np.float32), np.array([1, 3, 2], np.float32)])
    np.testing.assert_allclose(fused, [1 / 61 + 1 / 63, 1 / 62 + 1 / 61, 1 / 63 + 1 / 62], rtol=1e-6)


def test_evidence_is_a_message(tmp_path: Path) -> None:
    session = [{"speaker": who, "dia_id": id, "text": text} for who, id, text in MESSAGES]
    conversation = {"speaker_a": "Ida", "speaker_b": "Ole", "session_1": session}
    conversation["session_1_date_time"] = "1:56 pm on 8 May, 2023"
    file = tmp_path / "file.json"
    file.write_text(json.dumps([{"sample_id": "s", "conversation": conversation, "qa": QUESTIONS}]))
    (loaded,) = load(file)
    store = open_store(tmp_path / "store", WordEncoder())
    fill(store, loaded)
    asked = list(ask(store, loaded))
    assert [(one.category, one.evidence.tolist()) for one in asked] == [
        ("single-hop", [2]),
        ("multi-hop", [1, 4]),
    ]
    assert all(one.known.shape == one.nameless.shape == (len(SIGNALS), 5) for one in asked)
    speaker = [signal.name for signal in SIGNALS].index("speaker")
    assert asked[0].known[speaker, 2] > 0 > asked[0].known[speaker, 4]
    assert not asked[0].nameless[speaker].any()
    assert len(index_of(store, loaded.user).turns) == 5
    store.close()
