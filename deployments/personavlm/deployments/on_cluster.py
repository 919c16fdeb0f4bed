"""The application as Ray Serve builds it from a manifest: no command of ours stays running beside it."""

from __future__ import annotations

import logging

from ray.serve import Application

from personavlm.deployments import tracing
from personavlm.deployments.app import StartError, build, check_models, check_resources
from personavlm.deployments.memory_pool import MemoryPool
from personavlm.platform.config import Config
from personavlm.platform.prompts.chosen import with_pack

log = logging.getLogger(__name__)


def application(args: dict[str, object]) -> Application:
    """What `import_path` of a `serveConfigV2` names; ``args`` is the whole configuration.

    Runs in a task of the cluster. What it raises becomes the message of the application's status, which
    `kubectl describe rayservice` shows: `ConfigError`, `StartError`.
    """
    config = with_pack(Config.parse(args, "serveConfigV2"))
    if problem := tracing.missing(config.service):
        raise StartError(problem)
    check_models(config)
    check_resources(config)
    MemoryPool.connect(config)
    return build(config)
