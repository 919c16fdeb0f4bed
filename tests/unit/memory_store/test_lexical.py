import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personavlm.memory_store.retrieval.lexical import Bm25, terms

TEXTS = st.lists(st.text(alphabet="abc 咖啡茶", max_size=12), max_size=12)


def index(texts: list[str]) -> Bm25:
    built = Bm25()
    for text in texts:
        built.append(terms(text))
    return built


def query(text: str) -> dict[str, float]:
    return dict.fromkeys(terms(text), 1.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("She was running; they run.", ["run", "run"]),
        ("Caroline's café", ["carolin", "cafe"]),
        ("Caroline\u2019s CAFE\u0301", ["carolin", "cafe"]),
        ("1,500 g for 3.5 hours at 14:05", ["1500", "g", "3.5", "hour", "14", "05"]),
        ("2024-05-03, gate B12", ["2024", "05", "03", "gate", "b12"]),
        ("snake_case", ["snake", "case"]),
        ("我喝了咖啡", ["喝", "咖", "啡", "我喝", "喝了", "了咖", "咖啡"]),
        ("买iPhone手机", ["买", "iphon", "手", "机", "手机"]),
        ("Who was it? 🙂 ...", []),
        ("", []),
    ],
)
def test_terms(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


@given(st.text())
def test_any_text_has_terms(text: str) -> None:
    assert all(term and term == term.strip() for term in terms(text))


@pytest.mark.parametrize("word", ["咖啡", "拿铁", "寿司", "커피"])
def test_text_without_spaces_is_found(word: str) -> None:
    texts = [
        "昨日、友達と寿司を食べました。",
        "我昨天在河边喝了一杯咖啡",
        "她喜欢燕麦拿铁",
        "아침에 커피를 마셨다",
        "散步",
    ]
    scores = index(texts).scores(query(word))
    assert word in texts[int(scores.argmax())]
    assert np.count_nonzero(scores) == 1


def test_bm25_by_hand() -> None:
    scores = Bm25(k1=1.0, b=0.5)
    for words in (["tea", "tea", "milk"], ["tea"], ["bread", "milk"]):
        scores.append(words)
    idf_tea, idf_salt = math.log1p((3 - 2 + 0.5) / (2 + 0.5)), math.log1p((3 + 0.5) / 0.5)
    mean = 2.0
    tea = [idf_tea * 2 * count / (count + 0.5 + 0.5 * length / mean) for count, length in ((2, 3), (1, 1))]
    most = 2 * (idf_tea + idf_salt)
    expected = [tea[0] / most, tea[1] / most, 0.0]
    np.testing.assert_allclose(scores.scores({"tea": 1.0, "salt": 1.0}), expected, rtol=1e-6)


def test_a_rare_word_counts_more_than_a_common_one() -> None:
    built = index(["tea morning", "tea evening", "tea", "violin evening"])
    scores = built.scores(query("tea violin"))
    assert scores.argmax() == 3


@given(TEXTS, st.text(alphabet="abc 咖啡茶", max_size=8))
def test_scores_are_shares(texts: list[str], sought: str) -> None:
    scores = index(texts).scores(query(sought))
    assert scores.shape == (len(texts),)
    assert np.isfinite(scores).all()
    assert ((scores >= 0) & (scores < 1)).all()


@given(TEXTS, TEXTS, st.text(alphabet="abc 咖啡茶", max_size=8))
def test_known_texts_score_as_if_the_later_ones_did_not_exist(
    earlier: list[str], later: list[str], sought: str
) -> None:
    known = np.array([True] * len(earlier) + [False] * len(later), np.bool_)
    scores = index(earlier + later).scores(query(sought), known)[: len(earlier)]
    np.testing.assert_allclose(scores, index(earlier).scores(query(sought)), rtol=1e-6)
