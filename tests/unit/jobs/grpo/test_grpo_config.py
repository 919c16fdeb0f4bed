"""Settings that would train something else than meant are refused, as is what does not fit a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from personavlm.jobs.grpo.planner import Need, require_room
from personavlm.platform.errors import CommandError
from tests.unit.jobs.grpo.scripted import config


def rollouts(**settings: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"engine": {"kind": "transformers", "model": "m"}, "memory": "m"} | settings


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"group_size": 1}, "at least 2"),
        ({"rollouts": rollouts(sampling={"top_p": 0.9})}, "sampling.top_p is 0.9"),
        ({"rollouts": rollouts(sampling={"top_k": 50})}, "sampling.top_k is 50"),
        ({"rollouts": rollouts(sampling={"repetition_penalty": 1.05})}, "sampling.repetition_penalty"),
        ({"rollouts": rollouts(sampling={"k_semantic": [6, 3]})}, "from 6 to 3"),
        ({"rollouts": rollouts(sampling={"temperature": 0.7})}, "must be the same"),
        ({"rollouts": rollouts(engine={"kind": "rules"})}, "use transformers or vllm"),
        ({"rollouts": rollouts(engine={"kind": "transformers", "model": "other"})}, "is the one that learns"),
        ({"task": {"kind": "questions", "path": "questions.parquet"}}, "needs? a model that judges"),
        (
            {
                "staleness": 1,
                "learner": {
                    "policy": {"model": "m"},
                    "loss": {"old_policy": "recomputed", "max_weight": None},
                },
            },
            "stale rollouts go uncorrected",
        ),
        ({"judge": {"engine": {"kind": "rules"}}}, "judge.engine.kind must be openai"),
    ],
)
def test_what_cannot_be_right_is_refused(tmp_path: Path, settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        config(tmp_path, **settings)


def test_the_defaults_are_the_published_recipe(tmp_path: Path) -> None:
    run = config(tmp_path)
    assert (run.learner.optimiser.learning_rate, run.learner.loss.beta) == (2e-6, 0.01)
    assert (run.rollouts.sampling.max_tokens, run.rollouts.sampling.max_retrievals) == (1024, 3)
    assert not run.rollouts.sampling.paper_compat


def test_processes_that_do_not_fit_on_any_node_are_refused() -> None:
    asked = [Need("learner", 2, {"CPU": 2.0, "GPU": 1.0}), Need("rollout worker", 1, {"CPU": 4.0})]
    require_room(asked, {"a": {"CPU": 8.0, "GPU": 2.0}})
    with pytest.raises(CommandError, match="rollout worker 1 of 1 needs 4 CPU on one node"):
        require_room(asked, {"a": {"CPU": 5.0, "GPU": 1.0}, "b": {"CPU": 3.0, "GPU": 1.0}})
