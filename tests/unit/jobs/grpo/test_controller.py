"""What is asked when, what becomes of it, and how a run continues."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.jobs.grpo.scripted import KeptLog, ScriptedWorkers, controller


def differing(number: int) -> list[float | None]:
    return [0.0, 1.0]


async def test_a_run_asks_each_question_once_and_ends(tmp_path: Path) -> None:
    workers, log = ScriptedWorkers(differing), KeptLog()
    run = controller(tmp_path, workers, log)
    for step in range(4):
        await run.trained(step, f"step-{step}", {"loss": 1.0} if step else {}, [])
        batch = await run.batch(step)
        assert batch is not None and [row.advantage > 0 for row in batch] == [False, True] * 3
    assert await run.batch(4) is None and not run.reason
    assert [order.number for order in workers.orders] == list(range(12))
    assert log.figures[1]["reward"] == 0.5 and log.figures[1]["loss"] == 1.0


async def test_a_learner_that_asks_again_gets_the_same_batch(tmp_path: Path) -> None:
    workers = ScriptedWorkers(differing)
    run = controller(tmp_path, workers, KeptLog())
    await run.trained(0, "step-0", {}, [])
    assert await run.batch(0) is await run.batch(0)
    assert len(workers.orders) == 3


@pytest.mark.parametrize("staleness", [0, 1])
async def test_a_run_that_continues_asks_what_it_would_have_asked(tmp_path: Path, staleness: int) -> None:
    first = ScriptedWorkers(differing)
    run = controller(tmp_path, first, KeptLog(), staleness=staleness)
    for step in range(3):
        await run.trained(step, f"step-{step}", {}, [])
        await run.batch(step)
    again = ScriptedWorkers(differing)
    resumed = controller(tmp_path, again, KeptLog(), staleness=staleness)
    await resumed.trained(2, "step-2", {}, [])
    await resumed.batch(2)
    asked = [(order.number, order.question.id, order.seed) for order in first.orders]
    assert [(order.number, order.question.id, order.seed) for order in again.orders[:3]] == asked[6:9]


async def test_with_staleness_the_next_batch_is_begun_before_the_update_is_done(tmp_path: Path) -> None:
    workers = ScriptedWorkers(differing)
    run = controller(tmp_path, workers, KeptLog(), staleness=1)
    await run.trained(0, "step-0", {}, [])
    await run.batch(0)
    ahead = await run.batch(1)
    assert ahead is not None
    assert {version for row in ahead for version in row.trajectory.versions if version} == {"step-0"}


async def test_rollouts_of_weights_that_are_too_old_are_dropped(tmp_path: Path) -> None:
    workers, log = ScriptedWorkers(differing, stuck_at="step-0"), KeptLog()
    run = controller(tmp_path, workers, log, most_failed=1.0)
    await run.trained(1, "step-1", {}, [])
    (tmp_path / "counters.jsonl").write_text('{"step": 1, "consumed": 3}\n')
    assert await run.batch(1) is None
    assert "too old" in run.reason and all("too old" in record.failure for record in log.records)


async def test_a_failed_judge_is_no_reward_of_nothing(tmp_path: Path) -> None:
    log = KeptLog()
    run = controller(tmp_path, ScriptedWorkers(lambda number: [1.0, None, 0.0]), log)
    await run.trained(0, "step-0", {}, [])
    batch = await run.batch(0)
    assert batch is not None and len(batch) == 6
    assert [record.advantage for record in log.records if record.reward is None] == [None] * 3
    await run.trained(1, "step-1", {"loss": 0.0}, [])
    assert log.figures[1]["failed"] == 3 and log.figures[1]["reward"] == 0.5


async def test_too_many_failures_stop_the_run_with_the_reason(tmp_path: Path) -> None:
    run = controller(tmp_path, ScriptedWorkers(lambda number: [1.0, None, None]), KeptLog())
    await run.trained(0, "step-0", {}, [])
    assert await run.batch(0) is None
    assert "judge: no" in run.reason and "most_failed" in run.reason


async def test_dynamic_sampling_replaces_groups_that_teach_nothing_within_its_bound(tmp_path: Path) -> None:
    workers = ScriptedWorkers(lambda number: [0.0, 1.0] if number in (1, 4) else [0.5, 0.5])
    run = controller(tmp_path, workers, KeptLog(), most_groups=2.0)
    await run.trained(0, "step-0", {}, [])
    batch = await run.batch(0)
    assert batch is not None and len(batch) == 4 and all(row.advantage for row in batch)
    assert len(workers.orders) == 6
    await run.trained(1, "step-1", {}, [])
    await run.batch(1)
    assert workers.orders[6].number == 6


async def test_without_dynamic_sampling_they_stay_with_an_advantage_of_0(tmp_path: Path) -> None:
    run = controller(tmp_path, ScriptedWorkers(lambda number: [0.5, 0.5]), KeptLog())
    await run.trained(0, "step-0", {}, [])
    batch = await run.batch(0)
    assert batch is not None and [row.advantage for row in batch] == [0.0] * 6
