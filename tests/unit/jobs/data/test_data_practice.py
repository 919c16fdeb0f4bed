"""Questions of files as a task: every row once an epoch, asked of the memory that came with it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from personavlm.jobs.data.practice import QuestionTask
from personavlm.jobs.data.problems import DataError
from personavlm.jobs.data.rows import QuestionRow
from personavlm.jobs.data.writing import write_rows
from personavlm.jobs.synthesize.living import LifeClock, StoreMemory
from personavlm.jobs.synthesize.making import LifeMaker
from personavlm.jobs.synthesize.parts import QUESTIONS, STORE, part_folder
from personavlm.jobs.synthesize.plan import plan_life
from personavlm.memory_store import AsOf, SearchRequest
from tests.unit.jobs.synthesize.small import config, home


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One life's part: questions, images, and the archive of its memory."""
    settings = config(output=tmp_path_factory.mktemp("synthetic"), turns=(40, 40), questions_per_turn=1)
    plan = plan_life(settings, 1)
    asyncio.run(LifeMaker(settings, home()).make(plan))
    part = part_folder(settings.output, plan.persona.user)
    (part / STORE).rename(part / f"{plan.persona.user}.zip")
    return part


def test_every_row_is_asked_once_an_epoch(folder: Path) -> None:
    task = QuestionTask(folder / QUESTIONS, "practice", seed=3)
    count = len(task.rows)
    assert count > 2
    epochs = [[task.question(number).id for number in range(start, start + count)] for start in (0, count)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(row.id for row in task.rows)
    assert epochs[0] != epochs[1]
    again = QuestionTask(folder / QUESTIONS, "practice", seed=3)
    assert [again.question(number) for number in range(count)] == [
        task.question(number) for number in range(count)
    ]


def test_the_evidence_is_in_the_memory_that_is_asked(folder: Path, tmp_path: Path) -> None:
    task = QuestionTask(folder / QUESTIONS, "practice")
    with home().open_store(tmp_path, LifeClock(task.question(0).message.now)) as store:
        task.fill(store, folder)
        memory = StoreMemory(store)
        for number in range(len(task.rows)):
            question = task.question(number)
            message = question.message
            told = store.turns(message.user, as_of=AsOf(message.now))
            assert {turn.id for turn in told} >= set(question.evidence)
            images = tuple(image.sha256 for image in message.images)
            asyncio.run(memory.search(message.user, SearchRequest("anything", image_sha256=images)))
            for image in message.images:
                assert asyncio.run(memory.image(message.user, image.sha256))


def test_what_cannot_be_practised_on_is_refused(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "questions.parquet"
    write_rows([QuestionRow(id="one", kind="open", prompt="When?", gold="Now")], QuestionRow, path)
    with pytest.raises(DataError, match="one names no user"):
        QuestionTask(path, "practice")
    with (
        home().open_store(tmp_path / "store", LifeClock(plan_life(config(), 1).sessions[0][0].time)) as store,
        pytest.raises(DataError, match="is not there"),
    ):
        QuestionTask(folder / QUESTIONS, "practice").fill(store, tmp_path)
