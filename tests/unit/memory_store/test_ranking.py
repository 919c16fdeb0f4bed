"""Ranking: what is found, what a mask and a read of the past may change, and how scores compare."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from personavlm.memory_store.retrieval.corpus import Corpus, Passage
from personavlm.memory_store.retrieval.dates import Days
from personavlm.memory_store.retrieval.evidence import Evidence
from personavlm.memory_store.retrieval.names import Participants, Speaker
from personavlm.memory_store.retrieval.query import QueryView, query_views
from personavlm.memory_store.retrieval.ranking import (
    WEIGHTS,
    Prior,
    Weights,
    apply_weights,
    calibrated,
    ranked,
    signal_matrix,
)
from personavlm.memory_store.retrieval.signals import SIGNALS
from personavlm.memory_store.retrieval.tokens import packed_tokens
from tests.unit.memory_store.encoders import WordEncoder

DIM = 64
PASSAGES = st.lists(
    st.builds(
        Passage,
        st.text(alphabet="abc? 咖啡茶", max_size=12),
        st.just(""),
        st.sampled_from(Speaker),
        st.sampled_from(["", "s1", "s2"]),
        st.integers(0, 9).map(lambda day: Days(day, day)),
    ),
    max_size=12,
)
SOUGHT = st.text(alphabet="abc 咖啡茶", max_size=8)
ENCODER = WordEncoder(DIM)


def build(passages: Sequence[Passage | str], *, encode: bool = True, talks: bool = True) -> Corpus:
    corpus = Corpus(DIM, talks=talks)
    add(corpus, passages, encode=encode)
    return corpus


def add(corpus: Corpus, passages: Sequence[Passage | str], *, encode: bool = True) -> None:
    for passage in passages:
        passage = Passage(passage, session="s") if isinstance(passage, str) else passage
        position = corpus.add(passage)
        if encode:
            (text,) = ENCODER.encode_tokens([passage.text])
            corpus.set_vector(position, text.vector, packed_tokens(text))


def everything(corpus: Corpus) -> NDArray[np.bool_]:
    return np.ones(len(corpus), np.bool_)


def look_for(*texts: str) -> tuple[QueryView, ...]:
    return query_views(texts, ENCODER)


def order(corpus: Corpus, views: Sequence[QueryView]) -> list[int]:
    return [int(i) for i in np.argsort(-ranked(corpus, views, everything(corpus)).scores, kind="stable")]


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
@pytest.mark.parametrize("encode", [True, False])
def test_finds_by_either_view(keywords: str, query: str, expected: int, encode: bool) -> None:
    passages = [
        Passage("Tea by the river"),
        Passage("Practised violin all evening"),
        Passage("我昨天在河边喝了一杯咖啡"),
        Passage("She moved to Porto", "Ines"),
        Passage("Paid 1,500 for the bike"),
    ]
    corpus = build(passages, encode=encode, talks=False)
    assert order(corpus, look_for(keywords, query))[0] == expected


def test_texts_are_found_before_their_vectors_are_there() -> None:
    corpus = build(["tea", "violin", "bread"], encode=False)
    assert corpus.missing() == (0, 1, 2)
    assert order(corpus, look_for("violin"))[0] == 1
    corpus.set_vector(1, ENCODER.encode([corpus.text(1)])[0])
    assert corpus.missing() == (0, 2)
    assert np.isfinite(ranked(corpus, look_for("violin"), everything(corpus)).scores).all()


def test_a_vector_makes_a_difference_words_cannot() -> None:
    corpus = build(["alpha", "beta"], encode=False)
    for position, text in enumerate(ENCODER.encode_tokens(["nothing", "violin"])):
        corpus.set_vector(position, text.vector, packed_tokens(text))
    assert order(corpus, look_for("violin"))[0] == 1


def test_set_vector_outside_the_corpus() -> None:
    with pytest.raises(IndexError, match="position 1 of 1"):
        build(["tea"]).set_vector(1, np.zeros(DIM, np.float32))


@given(PASSAGES, SOUGHT, SOUGHT, st.data())
def test_a_mask_hides_and_changes_nothing_else(
    passages: list[Passage], keywords: str, query: str, data: st.DataObject
) -> None:
    corpus, views = build(passages), look_for(keywords, query)
    chosen = data.draw(st.lists(st.booleans(), min_size=len(passages), max_size=len(passages)))
    mask = np.array(chosen, np.bool_)
    found = ranked(corpus, views, mask).scores
    assert np.isneginf(found[~mask]).all()
    np.testing.assert_array_equal(found[mask], ranked(corpus, views, everything(corpus)).scores[mask])


@given(PASSAGES, PASSAGES, SOUGHT, SOUGHT)
def test_a_read_of_what_was_known_is_not_touched_by_what_came_later(
    earlier: list[Passage], later: list[Passage], keywords: str, query: str
) -> None:
    corpus, views = build(earlier + later), look_for(keywords, query)
    known = np.arange(len(corpus)) < len(earlier)
    then = build(earlier)
    for view in views:
        np.testing.assert_allclose(
            signal_matrix(Evidence(corpus, view, known))[1][:, : len(earlier)],
            signal_matrix(Evidence(then, view))[1],
            atol=1e-3,
        )


@given(PASSAGES, SOUGHT, st.data())
def test_what_was_not_known_has_no_influence_wherever_it_stands(
    passages: list[Passage], sought: str, data: st.DataObject
) -> None:
    """Two corpora that differ in the unknown texts alone give the known ones the same scores."""
    flags = data.draw(st.lists(st.booleans(), min_size=len(passages), max_size=len(passages)))
    known = np.array(flags, np.bool_)
    others = [
        passage if flag else Passage("b b b 茶", "", passage.speaker, passage.session, Days(3, 3))
        for passage, flag in zip(passages, flags, strict=True)
    ]
    for view in look_for(sought):
        one, other = (
            signal_matrix(Evidence(build(each), view, known))[1][:, known] for each in (passages, others)
        )
        np.testing.assert_allclose(one, other, atol=1e-3)


@given(PASSAGES, PASSAGES, SOUGHT)
def test_adding_after_a_search_equals_building_at_once(
    first: list[Passage], second: list[Passage], keywords: str
) -> None:
    grown, views = build(first), look_for(keywords)
    ranked(grown, views, everything(grown))
    add(grown, second)
    at_once = build(first + second)
    np.testing.assert_array_equal(
        ranked(grown, views, everything(grown)).scores, ranked(at_once, views, everything(at_once)).scores
    )


@given(PASSAGES, SOUGHT, SOUGHT, st.booleans(), st.booleans())
def test_scores_are_finite(
    passages: list[Passage], keywords: str, query: str, encode: bool, talks: bool
) -> None:
    corpus = build(passages, encode=encode, talks=talks)
    found = ranked(corpus, look_for(keywords, query), everything(corpus)).scores
    assert found.shape == (len(passages),)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


def test_an_empty_query_prefers_nothing() -> None:
    corpus = build(["tea", "violin"])
    assert list(ranked(corpus, look_for("", "  "), everything(corpus)).scores) == [0, 0]


def test_scores_of_a_large_and_a_small_corpus_compare() -> None:
    """Calibration: the one text that answers scores of the same order among 3 and among 300."""
    rest = [f"note {i} about the weather and item {i}" for i in range(300)]
    best = [
        float(ranked(corpus, look_for("violin"), everything(corpus), kind="memories").scores.max())
        for corpus in (build([*rest[:2], "violin"], talks=False), build([*rest, "violin"], talks=False))
    ]
    assert 0.2 < best[0] / best[1] < 1.2


def test_the_views_are_encoded_in_one_batch_without_names() -> None:
    encoder = WordEncoder(DIM)
    names = Participants(user="Ines Sousa")
    views = query_views(["tea", "What did Ines's sister paint?", " "], encoder, names)
    assert encoder.encoded == ["tea", "What did sister paint?"]
    assert [view.words for view in views] == encoder.encoded
    assert views[1].text == "What did Ines's sister paint?"
    assert query_views(["", " "], encoder) == ()
    assert len(encoder.encoded) == 2


# weights


def test_signals_and_weights_agree() -> None:
    names = [signal.name for signal in SIGNALS]
    assert len(set(names)) == len(names)
    assert set(WEIGHTS.priors) == set(names)
    assert all(set(WEIGHTS.weights[kind]) == set(names) for kind in ("turns", "memories"))


def test_a_signal_or_a_group_is_switched_off() -> None:
    weights = WEIGHTS.without("bm25", "neighbours").vector("turns")
    off = [i for i, signal in enumerate(SIGNALS) if signal.name == "bm25" or signal.group == "neighbours"]
    assert not weights[off].any()
    kept = np.delete(weights, off)
    np.testing.assert_array_equal(kept, np.delete(WEIGHTS.vector("turns"), off))


def test_weights_are_written_and_read(tmp_path: Path) -> None:
    WEIGHTS.save(tmp_path / "weights.json")
    again = Weights.load(tmp_path / "weights.json")
    np.testing.assert_allclose(again.vector("turns"), WEIGHTS.vector("turns"), atol=1e-4)
    assert again.priors.keys() == WEIGHTS.priors.keys()


def test_the_weighed_mean_is_taken_over_signals_that_say_something() -> None:
    matrix = np.array([[1, 2], [0, 0], [4, -2]], np.float32)
    np.testing.assert_allclose(apply_weights(matrix, np.array([1, 5, 1], np.float32)), [2.5, 0])


def test_calibration_is_the_prior_for_one_text_and_the_sample_for_many() -> None:
    prior = Prior(0.1, 0.2)
    assert calibrated(np.array([0.3], np.float32), prior)[0] == pytest.approx(1, abs=0.1)
    many = np.random.default_rng(1).normal(0.5, 0.3, 20_000).astype(np.float32)
    found = calibrated(many, prior)
    assert (found.mean(), found.std()) == pytest.approx((0, 1), abs=0.01)
    assert calibrated(np.array([np.nan, 0.3], np.float32), prior)[0] == 0
