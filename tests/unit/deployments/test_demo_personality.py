"""The personality curve of the demo, from the profile's JSON to the plot; and the form of its report."""

import io
import json
from datetime import datetime
from pathlib import Path

from PIL import Image
from rich.console import Console

from personavlm.deployments.demo.personality import personality_table, read_curve
from personavlm.deployments.demo.plot import plot_personality
from personavlm.deployments.demo.run import DemoReport
from personavlm.deployments.replay import Answered
from personavlm.memory_store import TRAITS

START = datetime.fromisoformat("2026-03-02T07:40:00+01:00")
END = datetime.fromisoformat("2026-05-06T19:00:00+02:00")


def version(time: str, cause: str, openness: float) -> dict[str, object]:
    traits = dict.fromkeys(TRAITS, 3.0) | {"openness": openness}
    return {"event_time": time, "cause": cause, "traits": traits}


PROFILE = {
    "traits": dict.fromkeys(TRAITS, 3.0) | {"openness": 4.0},
    "history": [
        version("2026-11-01T00:00:00Z", "start", 3.0),
        version("2026-03-20T10:00:00Z", "inferred", 5.0),
        version("2026-04-20T10:00:00Z", "inferred", 4.0),
    ],
}


def test_the_curve_runs_from_neutral_to_now() -> None:
    curve = read_curve(PROFILE, START, END)
    assert curve.times[0] == START and curve.times[-1] == END
    assert curve.values["openness"] == (3.0, 5.0, 4.0, 4.0)
    assert curve.values["neuroticism"] == (3.0, 3.0, 3.0, 3.0)
    assert curve.limits == (3.0, 5.0)


def test_the_terminal_shows_each_trait_in_one_line() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(personality_table(read_curve(PROFILE, START, END), ["curious"]))
    lines = {line.split("│")[1].strip(): line for line in console.export_text().splitlines() if "│" in line}
    assert set(lines) == set(TRAITS)
    bars = lines["openness"].split("│")[2].strip()
    assert bars == "▁" * 9 + "█" * 15 + "▅" * 8  # 65 days in 32 points; up after 18 days, half down after 49
    assert set(lines["extraversion"].split("│")[2].strip()) == {"▁"}


def test_a_profile_that_never_moved_is_shown_too(tmp_path: Path) -> None:
    still = {"traits": dict.fromkeys(TRAITS, 3.0), "history": [version("2026-11-01T00:00:00Z", "start", 3.0)]}
    curve = read_curve(still, START, END)
    Console(quiet=True).print(personality_table(curve, []))
    plot_personality(curve, tmp_path / "still.png", "still")


def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    plot_personality(read_curve(PROFILE, START, END), tmp_path / "curve.png", "Mara")
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.format == "PNG" and picture.width > 1000
        colors = picture.convert("RGB").getcolors(picture.width * picture.height) or []
        assert (0x00, 0x72, 0xB2) in {color for _, color in colors}


def test_the_report_has_the_promised_form(tmp_path: Path) -> None:
    answer = Answered(
        user="mara",
        id="question-01",
        task="Small Talk",
        question="Good night?",
        answer="Good night.",
        expected_evidence=(),
        retrieved=("turn-001",),
        recall=None,
        right=None,
        window=None,
        steps=("answer",),
        ms=12.5,
    )
    DemoReport((answer,), ready_s=9.876, replay_s=1.234, turns=98).write(tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8")) == {
        "questions": [
            {
                "task": "Small Talk",
                "question": "Good night?",
                "answer": "Good night.",
                "expected_evidence": [],
                "retrieved": ["turn-001"],
                "window": None,
                "steps": ["answer"],
                "ms": 12.5,
            }
        ],
        "ready_s": 9.88,
        "replay_s": 1.23,
        "turns": 98,
    }
