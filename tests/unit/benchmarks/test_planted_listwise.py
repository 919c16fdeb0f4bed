"""The listwise fit finds weights that it can know, and respects its bounds."""

import numpy as np
import pytest

from tests.benchmarks.planted.listwise import Batch, Query, fit, gradient


def toy(true: list[float], queries: int = 600, candidates: int = 12, seed: int = 1) -> list[Query]:
    """Questions whose evidence is drawn from the softmax of known weights."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(queries):
        signals = rng.normal(size=(candidates, len(true))).astype(np.float32)
        shares = np.exp(signals @ np.array(true, np.float32))
        evidence = np.zeros(candidates, np.bool_)
        evidence[rng.choice(candidates, p=shares / shares.sum())] = True
        made.append(Query(signals, evidence))
    return made


def test_the_fit_finds_the_weights_that_made_the_evidence() -> None:
    found = fit(Batch.of(toy([1.5, -0.7, 0.0])), np.zeros(3), l2=0.0)
    assert found == pytest.approx([1.5, -0.7, 0.0], abs=0.15)


def test_no_weight_falls_below_its_least() -> None:
    least = np.array([-np.inf, 0.25, -0.1])
    found = fit(Batch.of(toy([1.5, -0.7, 0.0])), np.zeros(3), l2=0.0, least=least)
    assert found[1] == 0.25 and found[0] > 1 and found[2] >= -0.1


def test_a_weight_that_is_off_stays_at_zero_and_the_others_are_fitted() -> None:
    found = fit(Batch.of(toy([1.5, -0.7, 0.0])), np.ones(3), l2=0.0, off=[0])
    assert found[0] == 0 and found[1] < -0.2


def test_a_strong_penalty_keeps_the_start() -> None:
    start = np.array([0.2, 0.3, 0.4])
    assert fit(Batch.of(toy([1.5, -0.7, 0.0])), start, l2=100.0) == pytest.approx(start, abs=0.02)


def test_a_question_of_weight_zero_changes_nothing() -> None:
    queries = toy([1.0, 0.0])
    against = [Query(q.signals, q.evidence, weight=0.0) for q in toy([-3.0, 2.0], seed=2)]
    zero = np.zeros(2)
    assert fit(Batch.of(queries + against), zero, 0.01) == pytest.approx(
        fit(Batch.of(queries), zero, 0.01), abs=1e-3
    )


def test_the_gradient_is_that_of_the_loss() -> None:
    queries = toy([1.0, -1.0], queries=5)
    queries[0] = Query(queries[0].signals[:4], np.array([True, False, True, False]))
    batch, weights, step = Batch.of(queries), np.array([0.3, 0.2]), 1e-2

    def loss(at: np.ndarray) -> float:
        total = 0.0
        for query in queries:
            scores = (query.signals @ at).astype(np.float64)
            logs = scores - np.log(np.exp(scores).sum())
            total -= float(logs[query.evidence].mean())
        return total / len(queries)

    for axis in range(2):
        shift = step * np.eye(2)[axis]
        slope = (loss(weights + shift) - loss(weights - shift)) / (2 * step)
        assert gradient(batch, weights)[axis] == pytest.approx(slope, abs=1e-3)


def test_a_question_without_evidence_is_refused() -> None:
    with pytest.raises(ValueError, match="no evidence"):
        Batch.of([Query(np.zeros((3, 2), np.float32), np.zeros(3, np.bool_))])
