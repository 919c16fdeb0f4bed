"""Real vLLM, on the CPU, with a tiny checkpoint of random weights. Run by `make test-vllm`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from personavlm.platform.engine_config import TransformersEngineConfig, VllmEngineConfig
from personavlm.platform.engines.transformers import TransformersEngine
from personavlm.platform.engines.vllm import VllmEngine
from tests.tiny_checkpoint import write_checkpoint

# For two cores: one thread for each process, bound to none of them.
SETTINGS = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
SMALL = {"context_tokens": 2048, "dtype": "float32", "max_batch": 8}


def pytest_configure(config: pytest.Config) -> None:
    """Before anything of vLLM is imported."""
    os.environ.update(SETTINGS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in (item for item in items if item.path.is_relative_to(Path(__file__).parent)):
        item.add_marker(pytest.mark.vllm)
        item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tied embeddings, as in the small models of the family."""
    return write_checkpoint(tmp_path_factory.mktemp("tiny"))


def small_vllm(checkpoint: Path, **others: object) -> VllmEngineConfig:
    """The settings that suit two cores."""
    settings = {"kind": "vllm", "model": str(checkpoint), "compile": False, "kv_cache_mb": 64}
    return VllmEngineConfig.model_validate(settings | SMALL | others)


def small_transformers(checkpoint: Path) -> TransformersEngineConfig:
    return TransformersEngineConfig.model_validate({"kind": "transformers", "model": str(checkpoint)} | SMALL)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def vllm_engine(checkpoint: Path) -> AsyncIterator[VllmEngine]:
    engine = VllmEngine(small_vllm(checkpoint))
    yield engine
    await engine.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def transformers_engine(checkpoint: Path) -> AsyncIterator[TransformersEngine]:
    engine = TransformersEngine(small_transformers(checkpoint))
    yield engine
    await engine.close()
