"""`personavlm models check`: what a checkpoint lacks, and what fits on which GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from personavlm.platform.cli import main
from personavlm.platform.engines.adapters import CONFIG, WEIGHTS, Adapter
from personavlm.platform.engines.checkpoint import Checkpoint
from personavlm.platform.engines.fitting import GIB, Gpu, cache_bytes_per_token, fits
from personavlm.platform.errors import CheckpointError
from tests.unit.platform.token_files import write_files

PROJECTION = "model.language_model.layers.0.self_attn.q_proj.weight"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = write_files(tmp_path_factory.mktemp("model") / "tiny")
    save_file({PROJECTION: np.zeros((128, 64), np.float32)}, found / "model.safetensors")
    return found


def test_a_checkpoint_is_described(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "check", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "2 layers of 128" in said and "4,096 tokens" in said and "at most 293 tokens" in said
    assert "context_tokens: 4096" in said and "missing, not needed" in said


def test_what_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "check", str(write_files(tmp_path / "tiny"))]) == 1
    assert "no weights in the form of safetensors" in capsys.readouterr().err
    assert main(["models", "check", str(tmp_path)]) == 1
    assert "lacks config.json" in capsys.readouterr().err


def test_a_version_tells_weights_apart(folder: Path, tmp_path: Path) -> None:
    other = write_files(tmp_path / "other")
    save_file({PROJECTION: np.ones((128, 64), np.float32)}, other / "model.safetensors")
    first, second = Checkpoint.open(str(folder)), Checkpoint.open(str(other))
    assert first.version() == Checkpoint.open(str(folder)).version() != second.version()


@given(st.integers(1, 200), st.floats(0.1, 1.0))
def test_what_fits_takes_no_more_than_it_may(folder: Path, gib: int, share: float) -> None:
    checkpoint = Checkpoint.open(str(folder))
    for fit in fits(checkpoint, Gpu("one", gib * GIB), share):
        cache = fit.cached_tokens * cache_bytes_per_token(checkpoint) / max(1, min(fit.gpus, 2))
        assert fit.cached_tokens == 0 or fit.weight_bytes + cache <= gib * GIB * share
    assert [fit.gpus for fit in fits(checkpoint, Gpu("one", GIB), share)] == [1, 2, 4]  # of four heads


@pytest.mark.parametrize(
    ("name", "shape", "problem"),
    [
        ("q_proj.lora_A", (8, 64), ""),
        ("q_proj.lora_B", (128, 8), ""),
        ("q_proj.lora_A", (8, 63), "does not fit"),
        ("q_proj.lora_B", (8, 128), "does not fit"),
        ("x_proj.lora_A", (8, 64), "does not fit"),
    ],
)
def test_an_adapter_of_other_sizes_is_refused(
    folder: Path, tmp_path: Path, name: str, shape: tuple[int, int], problem: str
) -> None:
    (tmp_path / CONFIG).write_text('{"r": 8}')
    key = f"base_model.model.model.language_model.layers.0.self_attn.{name}.weight"
    save_file({key: np.zeros(shape, np.float32)}, tmp_path / WEIGHTS)
    shapes = Checkpoint.open(str(folder)).shapes()
    if problem:
        with pytest.raises(CheckpointError, match=problem):
            Adapter.open("warm", tmp_path, 8, shapes)
    else:
        assert Adapter.open("warm", tmp_path, 8, shapes).rank == 8
    with pytest.raises(CheckpointError, match=r"adapter_rank allows 1 to 4"):
        Adapter.open("warm", tmp_path, 4, shapes)
