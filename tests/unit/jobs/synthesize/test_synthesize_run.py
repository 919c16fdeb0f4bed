"""The whole run through Ray Data: killed, continued, and the same files as one that nobody disturbed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest
from PIL import Image

from personavlm.jobs.data.reading import questions
from personavlm.jobs.data.validation import validate
from personavlm.jobs.synthesize.assembly import assemble
from personavlm.jobs.synthesize.config import SynthesizeConfig
from personavlm.jobs.synthesize.making import LifeMaker
from personavlm.jobs.synthesize.manifest import claim
from personavlm.jobs.synthesize.plan import plan_life
from personavlm.platform.config import ConfigError

pytestmark = [pytest.mark.train, pytest.mark.timeout(280)]
SETTINGS = {"personas": 2, "turns": [12, 16], "seed": 7}
WAIT_S = 120


def started(folder: Path) -> subprocess.Popen[bytes]:
    settings = [f"{key}={value}" for key, value in SETTINGS.items()]
    command = [sys.executable, "-m", "personavlm.jobs.synthesize", f"output={folder}", *settings]
    return subprocess.Popen(command, start_new_session=True)


def undisturbed(folder: Path) -> SynthesizeConfig:
    """The same run in this process, without Ray."""
    config = SynthesizeConfig.model_validate({"output": folder, **SETTINGS})
    manifest, maker = claim(config), LifeMaker(config)
    parts = [asyncio.run(maker.make(plan_life(config, number))) for number in range(config.personas)]
    assemble(folder, manifest, parts)
    return config


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_killed_run_goes_on_and_gives_the_same_files(tmp_path: Path) -> None:
    pytest.importorskip("ray.data", reason="needs the extra `train`")
    folder = tmp_path / "killed"
    first = started(folder)
    deadline = time.monotonic() + WAIT_S
    while not list(folder.glob("parts/*/statistics.json")):
        assert first.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)  # between two looks at another process's folder
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert not json.loads((folder / "manifest.json").read_text())["finished"]
    assert started(folder).wait(WAIT_S) == 0

    config = undisturbed(tmp_path / "undisturbed")
    assert digests(folder) == digests(config.output)
    check(folder)
    assert started(folder).wait(WAIT_S) == 0  # finished already: nothing happens


def check(folder: Path) -> None:
    """What a finished run has in its folder."""
    findings = validate(folder)
    assert findings.problems == []
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["finished"]
    assert manifest["counts"]["conversations"] + manifest["counts"]["questions"] == sum(
        tally.rows for tally in findings.tallies.values()
    )
    assert {path.stem for path in (folder / "histories").iterdir()} == {"persona-00000", "persona-00001"}
    assert all((folder / "stores" / f"{row.user}.zip").is_file() for row in questions(folder))
    with Image.open(folder / "report.png") as image:
        assert image.size == (1400, 1000)
    assert "| reasoning |" in (folder / "report.md").read_text()
    assert not (folder / "parts").exists()


def test_another_configuration_does_not_mix_in(tmp_path: Path) -> None:
    config = SynthesizeConfig.model_validate({"output": tmp_path / "run", **SETTINGS})
    claim(config)
    claim(config.model_copy(update={"workers": 3}))
    with pytest.raises(ConfigError, match="seed differ"):
        claim(config.model_copy(update={"seed": 8}))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("mine")
    with pytest.raises(ConfigError, match="holds something else"):
        claim(config.model_copy(update={"output": tmp_path / "other"}))
