import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personavlm.memory_store.retrieval.lexical import (
    BUCKETS,
    Mask,
    Scores,
    TermTable,
    rarity,
    saturated,
    term_keys,
    terms,
)

TEXTS = st.lists(st.text(alphabet="abc 咖啡茶", max_size=12), max_size=12)
SOUGHT = st.text(alphabet="abc 咖啡茶", max_size=8)


def table(texts: list[str]) -> TermTable:
    built = TermTable()
    for text in texts:
        built.append(term_keys(terms(text)))
    return built


def counts(texts: list[str], sought: str, known: Mask | None = None) -> Scores:
    return table(texts).counts(np.unique(term_keys(terms(sought))), known)


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
    found = counts(texts, word).sum(axis=0)
    assert word in texts[int(found.argmax())]
    assert np.count_nonzero(found) == 1


@given(TEXTS, SOUGHT)
def test_counts_equal_counting(texts: list[str], sought: str) -> None:
    words = list(dict.fromkeys(terms(sought)))
    found = table(texts).counts(term_keys(words))
    assert found.tolist() == [[terms(text).count(word) for text in texts] for word in words]


def test_terms_whose_keys_share_a_bucket_are_told_apart() -> None:
    built = TermTable()
    built.append(np.array([5, 5 + BUCKETS, 5 + BUCKETS], np.uint32))
    built.append(np.array([5 + 2 * BUCKETS], np.uint32))
    assert built.counts(np.array([5 + BUCKETS, 5], np.uint32)).tolist() == [[2, 0], [1, 0]]
    assert built.lengths.tolist() == [3, 1]


@given(TEXTS, TEXTS, SOUGHT)
def test_texts_that_were_not_known_leave_no_trace(earlier: list[str], later: list[str], sought: str) -> None:
    known = np.array([True] * len(earlier) + [False] * len(later), np.bool_)
    both, then = counts(earlier + later, sought, known), counts(earlier, sought)
    assert not both[:, len(earlier) :].any()
    np.testing.assert_array_equal(both[:, : len(earlier)], then)
    np.testing.assert_allclose(rarity(both, known), rarity(then))
    lengths = table(earlier + later).lengths, table(earlier).lengths
    np.testing.assert_allclose(
        saturated(both, lengths[0], known)[:, : len(earlier)], saturated(then, lengths[1]), rtol=1e-6
    )


def test_bm25_by_hand() -> None:
    built = TermTable()
    for words in (["tea", "tea", "milk"], ["tea"], ["bread", "milk"]):
        built.append(term_keys(words))
    found = built.counts(term_keys(["tea", "salt"]))
    idf_tea, idf_salt = math.log1p((3 - 2 + 0.5) / (2 + 0.5)), math.log1p((3 + 0.5) / 0.5)
    np.testing.assert_allclose(rarity(found), [idf_tea, idf_salt], rtol=1e-6)
    tea = [1.9 * count / (count + 0.9 * (0.6 + 0.4 * length / 2)) for count, length in ((2, 3), (1, 1))]
    expected = np.array([[*tea, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(saturated(found, built.lengths), expected, rtol=1e-6)
