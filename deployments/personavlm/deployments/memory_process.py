"""A memory actor in a process of its own, as Ray starts it, and starts it again."""

from __future__ import annotations

import logging
import os
import time

import ray

from personavlm.deployments import logs, tracing
from personavlm.deployments.memory_actor import MemoryActor
from personavlm.deployments.memory_pool import service_id
from personavlm.deployments.store_root import Claimant
from personavlm.memory_store import StoreError
from personavlm.platform.config import Config

log = logging.getLogger(__name__)

PAUSE_S = 1.0


class MemoryActorProcess(MemoryActor):
    """Ray gives an actor up for good whose start fails, but not one whose process ends. So at a restart, a
    process that cannot open its shards ends: the storage, or whoever has them open, may be back later.

    At the first start what keeps them from opening is raised, for whoever starts the service.
    """

    def __init__(self, config: Config, number: int) -> None:
        logs.configure(f"memory-{number}", config.service)
        tracing.configure(config.service)
        again = ray.get_runtime_context().was_current_actor_reconstructed
        try:
            super().__init__(config, number, Claimant(service_id(), first=not again, lost=_end))
        except (StoreError, OSError, RuntimeError):  # RuntimeError is what LanceDB raises
            if not again:
                raise
            log.exception("the shards cannot be opened; another process is to try again")
            time.sleep(PAUSE_S)  # nothing tells when it would succeed
            os._exit(1)


def _end() -> None:
    """Another service has the store now. The process that Ray starts in this one's place waits for it."""
    os._exit(1)
