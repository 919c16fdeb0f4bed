"""`python -m personavlm.jobs.evaluate`: from files to a report, or a message that says what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from personavlm.jobs.evaluate.command import run
from personavlm.jobs.evaluate.config import EvaluateConfig
from personavlm.jobs.evaluate.report import Report
from personavlm.jobs.gym.preparation import GymFolder, add_world, gym_store
from personavlm.jobs.gym.task import GymTask
from personavlm.jobs.gym.worlds import TEXT_WORLD, read_questions
from personavlm.platform.errors import CommandError
from personavlm.platform.prompts.checking import PackError
from personavlm.platform.prompts.render import TEMPLATES


def test_an_engine_is_evaluated_from_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = GymFolder(tmp_path)
    with gym_store(folder.memory) as store:
        add_world(folder, store, "evaluation", 1, 8, TEXT_WORLD)
    questions = folder.questions("evaluation")
    task = GymTask(questions)
    assert len(task) == 8 and task.question(11) == task.question(3) == read_questions(questions)[3].public
    config = EvaluateConfig(
        questions=questions,
        memory=folder.memory,
        prompts=TEMPLATES,
        limit=3,
        report=tmp_path / "report.json",
    )
    report = run(config)
    assert Report.model_validate_json((tmp_path / "report.json").read_text()) == report
    assert report.model == "rules" and report.condition("greedy").all.questions == 3
    printed = capsys.readouterr().out
    assert "retriever off" in printed and "time ignored" in printed and "gain" not in printed
    compared = run(config.model_copy(update={"before": tmp_path / "report.json", "limit": 2}))
    assert compared.compared(report).row_count == len(report.conditions)
    assert "gain" in capsys.readouterr().out
    (tmp_path / "cut.json").write_text((tmp_path / "report.json").read_text()[:50])
    with pytest.raises(CommandError, match=r"before: .*cut\.json is no report"):
        run(config.model_copy(update={"before": tmp_path / "cut.json"}))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    questions = tmp_path / "evaluation.questions.json"
    with pytest.raises(CommandError, match=r"evaluation\.questions\.json holds no questions"):
        run(EvaluateConfig(questions=questions, memory=tmp_path))
    questions.write_text("[]")
    with pytest.raises(CommandError, match="its list is empty"):
        GymTask(questions)
    with gym_store(tmp_path / "memory") as store:
        add_world(GymFolder(tmp_path), store, "evaluation", 1, 1, TEXT_WORLD)
    with pytest.raises(CommandError, match=r"memory: .*absent holds no memory store"):
        run(EvaluateConfig(questions=questions, memory=tmp_path / "absent"))
    with pytest.raises(PackError, match="kind `rules`"):  # which does not read the gym's wording
        run(EvaluateConfig(questions=questions, memory=tmp_path / "memory"))
