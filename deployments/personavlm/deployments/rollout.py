"""`personavlm rollout`: new policy replicas take over from the old ones while the service runs."""

from __future__ import annotations

import logging

import ray
from ray import serve

from personavlm.deployments.app import build, deploy
from personavlm.deployments.local_ray import running_address
from personavlm.deployments.memory_pool import NAMESPACE
from personavlm.deployments.policy_engine import APP
from personavlm.deployments.preflight import free_on_nodes, lacking, nodes_when_empty, policy_part, table
from personavlm.deployments.start_checks import StartError
from personavlm.platform.config import Config
from personavlm.platform.prompts.chosen import with_pack


def roll_out(config: Config) -> None:
    """Replace the policy replicas of the running service, one after the other, and return when it is done.

    An old replica stops after the replies that it has begun. The memory actors keep their configuration.
    Raises `StartError`, or `ConfigError` where the configured prompts cannot be used; the old replicas then
    go on.
    """
    config = with_pack(config)
    address = config.ray_address or running_address(config.memory.uri)
    if address is None:
        raise StartError(
            "no service with this memory.uri runs here; if one runs on a cluster, set ray_address"
        )
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level="ERROR")
    try:
        if APP not in serve.status().applications:
            raise StartError(f"the cluster at {address} runs no service; `personavlm serve` starts one")
        spare = _spare(config)
        deploy(build(config, spare))
    finally:
        ray.shutdown()


def _spare(config: Config) -> int:
    """How many replicas can be started before an old one stops. `StartError` where none can ever be."""
    one = [policy_part(config, 1)]
    if lacking(one, free_on_nodes()) == []:
        return 1
    if lacking(one, nodes_when_empty()) and not config.policy.wait_for_nodes:
        raise StartError(f"no node could ever run a policy replica\n{table(one, nodes_when_empty())}")
    return 0
