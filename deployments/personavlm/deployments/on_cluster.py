"""The application as Ray Serve builds it from a manifest: no command of ours stays running beside it."""

from __future__ import annotations

from ray.serve import Application

from personavlm.deployments import tracing
from personavlm.deployments.app import build
from personavlm.deployments.memory_pool import MemoryPool, service_id
from personavlm.deployments.start_checks import (
    StartError,
    check_environment,
    check_models,
    check_resources,
    check_storage,
    wait_opened,
)
from personavlm.deployments.store_root import store_root
from personavlm.memory_store.storage.claim import holder_of
from personavlm.platform.config import Config, MemoryConfig
from personavlm.platform.prompts.chosen import with_pack


def application(args: dict[str, object]) -> Application:
    """What `import_path` of a `serveConfigV2` names; ``args`` is the whole configuration.

    Runs in a task of the cluster. What it raises becomes the message of the application's status, which
    `kubectl describe rayservice` shows: `ConfigError`, `StartError`.
    """
    config = with_pack(Config.parse(args, "serveConfigV2"))
    if problem := tracing.missing(config.service):
        raise StartError(problem)
    check_models(config)
    check_environment(config)
    if config.memory.is_remote:  # a folder is on other pods
        check_storage(config.memory)
    check_resources(config)
    if not _follows(config.memory):
        wait_opened(MemoryPool.connect(config))
    return build(config)


def _follows(memory: MemoryConfig) -> bool:
    """Whether another cluster of this release has the store: it serves until requests come here.

    The first of them starts the memory actors, which take the store over.
    """
    holder = holder_of(store_root(memory)) if memory.is_remote and memory.release else None
    return holder is not None and holder.release == memory.release and holder.id != service_id()
