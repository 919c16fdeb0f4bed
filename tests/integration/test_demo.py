"""The demo as people start it: every question's evidence, the changed preference, the report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from personavlm.deployments.local_ray import free_port

TASKS = 14


def test_the_demo_keeps_its_promises(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "personavlm.deployments", "demo", "--once", "--port", str(free_port())]
    done = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert (tmp_path / "demo-personality.png").stat().st_size > 0
    report = json.loads((tmp_path / "demo-report.json").read_text())
    assert set(report) == {"questions", "ready_s", "replay_s", "turns"} and report["turns"] >= 80
    questions = report["questions"]
    found = {q["task"] for q in questions if set(q["expected_evidence"]) <= set(q["retrieved"])}
    assert len(found & {q["task"] for q in questions if q["expected_evidence"]}) >= TASKS - 2
    answers = {q["question"]: q["answer"].lower() for q in questions}
    assert "matcha" in answers["What is my favourite drink these days?"]
    early = answers["What was my favourite drink in early March?"]
    assert "cappuccino" in early and "matcha" not in early
