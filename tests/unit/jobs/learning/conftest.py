"""What the tests of learning share. They need PyTorch."""

from __future__ import annotations

from pathlib import Path

import pytest

from personavlm.platform.engines.checkpoint import Checkpoint


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A tiny checkpoint."""
    from tests.tiny_checkpoint import write_checkpoint

    return Checkpoint.open(str(write_checkpoint(tmp_path_factory.mktemp("tiny"))))


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for images."""
    return tmp_path_factory.mktemp("images")
