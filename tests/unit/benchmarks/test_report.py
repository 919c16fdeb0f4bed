import json
import os
import platform
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tests.benchmarks.report import WIDTH, Report, Samples, arguments, machine, samples, timed


def filled() -> Report:
    report = Report("Kettles")
    assert report.samples("boil", "ms", [5, 1, 3, 2, 4]) == 3
    report.figure("by_size", {"small": 2})
    report.table("Boiling", ("kettle", "ms [median]"), [("a name that goes on " * 8, "3"), ("b", "4")])
    report.demand("boil", 3, "<=", 4, "ms")
    report.demand("cups", 1500, ">=", 2000)
    return report


def test_document_has_the_agreed_form(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    filled().finish(file, Console(file=StringIO()))
    document = json.loads(file.read_text())
    assert set(document) == {"machine", "figures", "demands"}
    assert document["figures"] == {
        "boil": {"median": 3, "least": 1, "greatest": 5, "count": 5, "unit": "ms"},
        "by_size": {"small": 2},
    }
    assert document["demands"] == [
        {"name": "boil", "value": 3, "demand": "<= 4 ms", "holds": True},
        {"name": "cups", "value": 1500, "demand": ">= 2,000", "holds": False},
    ]


def test_demands_are_the_last_lines_and_everything_fits() -> None:
    printed = StringIO()
    filled().finish(console=Console(file=printed, width=WIDTH))
    lines = printed.getvalue().splitlines()
    assert lines[-2:] == ["holds  boil: 3 (demand <= 4 ms)", "FAILS  cups: 1,500 (demand >= 2,000)"]
    assert max(map(len, lines)) <= WIDTH
    assert "ms [median]" in printed.getvalue()


def test_a_report_holds_when_all_demands_do() -> None:
    report = Report("Kettles")
    report.demand("boil", 4, "<=", 4)
    assert report.holds
    report.demand("cups", 1, ">=", 2)
    assert not report.holds


def test_a_median_needs_repeats() -> None:
    assert samples([1, 2, 9, 4, 3], "ms") == Samples(median=3, least=1, greatest=9, count=5, unit="ms")
    with pytest.raises(ValueError, match="at least 5 repeats, got 2"):
        samples([1, 2], "ms")


def test_timed_leaves_the_warm_up_out() -> None:
    calls: list[int] = []
    assert len(timed(lambda: calls.append(1), count=6, warm_up=2)) == 6
    assert len(calls) == 8


def test_the_machine_is_described_but_not_named() -> None:
    facts = machine()
    assert {"cores", "memory_gb", "python"} <= set(facts)
    assert platform.node() not in json.dumps(facts)
    assert os.path.expanduser("~") not in json.dumps(facts)


def test_every_script_takes_json() -> None:
    parsed = arguments("Measure kettles.").parse_args(["--json", "out.json"])
    assert parsed.json == Path("out.json")
