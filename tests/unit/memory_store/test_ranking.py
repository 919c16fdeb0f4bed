import zlib
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from personavlm.memory_store.encoder import Vectors
from personavlm.memory_store.retrieval.lexical import terms
from personavlm.memory_store.retrieval.ranking import SIGNALS, Corpus, QueryView, query_view, without_names

DIM = 256
TEXTS = st.lists(st.text(alphabet="abc 咖啡茶", max_size=12), max_size=12)
SOUGHT = st.text(alphabet="abc 咖啡茶", max_size=8)


class HashedWords:
    """A whole encoder, only a poor one: one random vector per word, added up, and some of one for all."""

    model_id = "hashed-words"
    dim = DIM

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.calls.append(list(texts))
        rows = [sum((self._word(word) for word in terms(text)), 0.3 * self._word("")) for text in texts]
        vectors = np.array(rows, np.float32).reshape(len(texts), DIM)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)

    def _word(self, word: str) -> NDArray[np.float64]:
        return np.random.default_rng(zlib.crc32(word.encode())).normal(size=DIM)


ENCODER = HashedWords()


def build(texts: Sequence[str], *, encode: bool = True) -> Corpus:
    corpus = Corpus(DIM)
    for text in texts:
        corpus.add(text, vector=ENCODER.encode([text])[0] if encode else None)
    return corpus


def everything(corpus: Corpus) -> NDArray[np.bool_]:
    return np.ones(len(corpus), np.bool_)


def look_for(keywords: str, query: str = "") -> QueryView:
    return query_view(keywords, query, ENCODER)


def order(corpus: Corpus, view: QueryView) -> list[int]:
    scores = corpus.scores(view, everything(corpus))
    return [int(i) for i in np.argsort(-scores, kind="stable")]


@pytest.mark.parametrize(
    ("keywords", "query", "expected"),
    [
        ("violin", "", 1),
        ("", "When did I practise the violin?", 1),
        ("violin, practise", "When was that?", 1),
        ("", "我什么时候喝了咖啡?", 2),
        ("Ines", "", 3),
        ("1500", "", 4),
    ],
)
def test_finds_by_either_view(keywords: str, query: str, expected: int) -> None:
    corpus = build(["Tea by the river", "Practised violin all evening", "我昨天在河边喝了一杯咖啡"])
    corpus.add("She moved to Porto", "Ines")
    corpus.add("Paid 1,500 for the bike")
    assert order(corpus, look_for(keywords, query))[0] == expected


def test_texts_are_found_before_their_vectors_are_there() -> None:
    corpus = build(["tea", "violin", "bread"], encode=False)
    assert corpus.missing() == (0, 1, 2)
    assert order(corpus, look_for("violin"))[0] == 1
    corpus.set_vector(1, ENCODER.encode([corpus.text(1)])[0])
    assert corpus.missing() == (0, 2)
    assert np.isfinite(corpus.scores(look_for("violin"), everything(corpus))).all()
    assert build(["tea"] * 40, encode=False).missing() == tuple(range(40))


def test_a_vector_makes_a_difference_words_cannot() -> None:
    corpus = build(["alpha", "beta"], encode=False)
    for position, vector in enumerate(ENCODER.encode(["nothing", "violin"])):
        corpus.set_vector(position, vector)
    assert order(corpus, look_for("violin"))[0] == 1


def test_set_vector_outside_the_corpus() -> None:
    with pytest.raises(IndexError, match="position 1 of 1"):
        build(["tea"]).set_vector(1, np.zeros(DIM, np.float32))


@given(TEXTS, SOUGHT, SOUGHT, st.data())
def test_a_mask_hides_and_changes_nothing_else(
    texts: list[str], keywords: str, query: str, data: st.DataObject
) -> None:
    corpus, view = build(texts), look_for(keywords, query)
    chosen = data.draw(st.lists(st.booleans(), min_size=len(texts), max_size=len(texts)))
    mask = np.array(chosen, np.bool_)
    scores = corpus.scores(view, mask)
    assert np.isneginf(scores[~mask]).all()
    np.testing.assert_array_equal(scores[mask], corpus.scores(view, everything(corpus))[mask])


@given(TEXTS, TEXTS, SOUGHT, SOUGHT)
def test_a_read_of_what_was_known_is_not_touched_by_what_came_later(
    earlier: list[str], later: list[str], keywords: str, query: str
) -> None:
    corpus, view = build(earlier + later), look_for(keywords, query)
    known = np.arange(len(corpus)) < len(earlier)
    then = build(earlier)
    np.testing.assert_allclose(
        corpus.scores(view, known, known)[: len(earlier)], then.scores(view, everything(then)), atol=1e-4
    )


@given(TEXTS, TEXTS, SOUGHT)
def test_adding_after_a_search_equals_building_at_once(
    first: list[str], second: list[str], keywords: str
) -> None:
    grown, view = build(first), look_for(keywords)
    grown.scores(view, everything(grown))
    positions = [grown.add(text, vector=ENCODER.encode([text])[0]) for text in second]
    assert positions == list(range(len(first), len(first) + len(second)))
    at_once = build(first + second)
    np.testing.assert_array_equal(
        grown.scores(view, everything(grown)), at_once.scores(view, everything(at_once))
    )


@given(TEXTS, SOUGHT, SOUGHT, st.booleans())
def test_scores_are_finite(texts: list[str], keywords: str, query: str, encode: bool) -> None:
    corpus = build(texts, encode=encode)
    scores = corpus.scores(look_for(keywords, query), everything(corpus))
    assert scores.shape == (len(texts),)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()


def test_an_empty_query_prefers_nothing() -> None:
    corpus = build(["tea", "violin"])
    assert list(corpus.scores(look_for("", "  "), everything(corpus))) == [0, 0]


def test_scores_of_a_large_and_a_small_corpus_compare() -> None:
    """Calibration: the one text that answers scores of the same order among 3 and among 300."""
    rest = [f"note {i} about the weather and item {i}" for i in range(300)]
    best = [
        float(corpus.scores(look_for("violin"), everything(corpus)).max())
        for corpus in (build([*rest[:2], "violin"]), build([*rest, "violin"]))
    ]
    assert 0.3 < best[0] / best[1] < 1


def test_both_views_are_encoded_in_one_batch() -> None:
    encoder = HashedWords()
    view = query_view("tea", "Where was the tea?", encoder)
    assert encoder.calls == [["tea", "Where was the tea?"]]
    assert view.keywords_vector is not None and view.query_vector is not None
    np.testing.assert_allclose(view.query_vector, ENCODER.encode(["Where was the tea?"])[0])
    assert query_view("", " ", encoder) == QueryView("", " ", None, None)
    assert len(encoder.calls) == 1


def test_names_leave_the_vector_but_not_the_words() -> None:
    encoder = HashedWords()
    view = query_view("", "What did Ines's sister paint?", encoder, names=["Ines"])
    assert encoder.calls == [["What did sister paint?"]]
    assert view.query == "What did Ines's sister paint?"


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        ("When did MEL and Melanie go?", ["Mel", "Melanie"], "When did and go?"),
        ("Melody's melon", ["Mel"], "Melody's melon"),
        ("Anna\u2019s tea", ["anna"], "tea"),
        ("小明昨天去哪", ["小明"], "昨天去哪"),
        ("Anna?", ["Anna"], "Anna?"),
        ("a+b (C++)", ["C++"], "a+b ( )"),
        ("tea", ["", "x"], "tea"),
    ],
)
def test_without_names(text: str, names: list[str], expected: str) -> None:
    assert without_names(text, names) == expected


def test_signal_names_are_unique() -> None:
    assert len({signal.name for signal in SIGNALS}) == len(SIGNALS)


def test_calibration_is_the_prior_for_one_text_and_the_sample_for_many() -> None:
    signal = SIGNALS[0]
    one = signal.calibrate(np.array([signal.mean + signal.deviation], np.float32))
    assert one[0] == pytest.approx(1, abs=0.1)
    many = np.random.default_rng(1).normal(0.5, 0.3, 20_000).astype(np.float32)
    calibrated = signal.calibrate(many)
    assert (calibrated.mean(), calibrated.std()) == pytest.approx((0, 1), abs=0.01)
