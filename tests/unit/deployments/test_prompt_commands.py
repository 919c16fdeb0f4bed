"""`personavlm prompts`: what it writes is right, and what is wrong it says."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from personavlm.platform.cli import main
from personavlm.platform.prompts.checking import read_pack
from personavlm.platform.prompts.contract import CONTRACT, sample_values
from personavlm.platform.prompts.render import default_pack
from tests.unit.deployments.test_cli import personavlm
from tests.unit.platform.foreign_pack import write_pack


def test_what_is_exported_is_our_pack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "pack"
    assert main(["prompts", "export", str(folder)]) == 0
    assert main(["prompts", "check", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert all(f"{name}.txt" in shown for name in CONTRACT) and "this pack can be used" in shown
    pack = read_pack(folder, "rules")
    assert pack == default_pack()
    for name in CONTRACT:
        for values in sample_values(name):
            assert pack.render(name, **values) == default_pack().render(name, **values)


def test_an_export_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["prompts", "export", str(tmp_path)]) == 1
    assert "is not empty; name a new folder" in capsys.readouterr().err
    assert main(["prompts", "export", str(tmp_path / "mine.txt")]) == 1
    assert "cannot be written: File exists" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_a_check_says_everything_that_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_pack(tmp_path / "pack")
    assert main(["prompts", "check", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "Not with the engine of kind `rules`" in shown and "reply.txt:1: " in shown
    (folder / "reply.txt").write_text("Hello\n{{ message }}")
    (folder / "core.txt").unlink()
    assert main(["prompts", "check", str(folder)]) == 1
    caught = capsys.readouterr()
    assert caught.out == ""
    assert "core.txt: it is missing; " in caught.err and "\n  reply.txt:2: `message` is printed" in caught.err


def test_no_service_starts_with_a_pack_that_is_wrong(tmp_path: Path) -> None:
    config = {"prompts": str(write_pack(tmp_path / "pack"))}  # the rules cannot read this one
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    done = personavlm("serve", "--config", str(tmp_path / "config.yaml"))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "reply.txt:1: " in done.stderr and "begin with `Task: reply`, or serve" in done.stderr
