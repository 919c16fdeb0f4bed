"""The Ray Serve application, and how it is started on a laptop or on a cluster that is there already."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from math import ceil

import ray
from ray import serve
from ray.serve import Application
from ray.serve.config import AutoscalingConfig, RequestRouterConfig

from personavlm.deployments import tracing
from personavlm.deployments.affinity import AffinityRouter
from personavlm.deployments.ingress import Ingress
from personavlm.deployments.local_ray import announced
from personavlm.deployments.memory_pool import NAMESPACE, MemoryPool, service_id
from personavlm.deployments.policy import Policy
from personavlm.deployments.policy_engine import APP
from personavlm.deployments.start_checks import (
    StartError,
    check_address,
    check_environment,
    check_models,
    check_port,
    check_resources,
    check_storage,
    wait_opened,
    wait_ready,
)
from personavlm.deployments.store_root import end_claim
from personavlm.platform.config import Config
from personavlm.platform.prompts.chosen import with_pack

_CAUSE = re.compile(r"personavlm\.[\w.]+Error: (.+)")


def build(config: Config, spare: int = 1) -> Application:
    """The application graph: ingress in front of policy.

    Where it runs already, new policy replicas take the place of the old ones, ``spare`` of them before an old
    one stops. The ingress replicas stay unless their own sections of the configuration are others.
    """
    own = config.model_dump_json(include={"service", "limits", "memory"})
    policy = config.policy
    ingress = serve.deployment(
        name="ingress",
        num_replicas=config.service.ingress_replicas,
        ray_actor_options={
            "num_cpus": config.service.cpus_per_replica,
            "resources": dict(config.service.resources),
        },
        # Nothing waits here: messages wait in the handle of the policy, where they are counted.
        max_ongoing_requests=policy.most_replicas * policy.max_ongoing + policy.max_queued + 256,
        max_surge_percent=1,
        graceful_shutdown_timeout_s=policy.drain_s,
        graceful_shutdown_wait_loop_s=0.2,
    )(serve.ingress()(Ingress))
    # Serve gives every deployment a new version at every run, unless it has one; the option is not public.
    ingress = ingress.options(version=hashlib.sha256(own.encode()).hexdigest(), _internal=True)
    return ingress.bind(config, _policy(config, spare))


def _policy(config: Config, spare: int) -> Application:
    policy = config.policy
    size: dict[str, object] = {"num_replicas": policy.replicas}
    if scale := policy.autoscaling:
        size = {"autoscaling_config": AutoscalingConfig(
            min_replicas=scale.min_replicas,
            max_replicas=scale.max_replicas,
            target_ongoing_requests=scale.target_ongoing,
            upscale_delay_s=scale.up_after_s,
            downscale_delay_s=scale.down_after_s,
        )}  # fmt: skip
    deployment = serve.deployment(
        name="policy",
        ray_actor_options={
            "num_cpus": policy.cpus,
            "num_gpus": policy.gpus,
            "resources": dict(policy.resources),
        },
        max_ongoing_requests=policy.max_ongoing,
        max_queued_requests=ceil(policy.max_queued / config.service.ingress_replicas),
        request_router_config=RequestRouterConfig(request_router_class=AffinityRouter),
        max_surge_percent=spare,  # of the replicas, rounded up
        graceful_shutdown_timeout_s=policy.drain_s,
        graceful_shutdown_wait_loop_s=0.2,
        **size,
    )(Policy)
    return deployment.bind(config)


@contextmanager
def running(config: Config) -> Iterator[str]:
    """The service, ready to answer at the URL that this yields, until the block ends.

    Raises `StartError`, or `ConfigError` where the configured prompts cannot be used.
    """
    config = with_pack(config)
    if problem := tracing.missing(config.service):
        raise StartError(problem)
    check_port(config)
    if config.ray_address is None:  # else other machines have the models, the secrets and the storage
        check_models(config)
        check_environment(config)
        check_storage(config.memory)
    start_ray(config)
    service = service_id()
    check_resources(config)
    memory = MemoryPool.connect(config)
    try:
        with announced(config.memory.uri, ray.get_runtime_context().gcs_address):
            serve.start(
                http_options={"host": config.service.host, "port": config.service.port},
                logging_config={"log_level": "WARNING"},
            )
            wait_opened(memory)
            deploy(build(config))
            url = f"http://{config.service.host}:{config.service.port}"
            wait_ready(url)
            yield url
    finally:
        if config.ray_address is None:
            _stop_local_cluster()
        else:
            serve.delete(APP)
            memory.stop()
        end_claim(config.memory, service)


def deploy(application: Application) -> None:
    """Run the application until its replicas are healthy. Raises `StartError` with what they died of."""
    try:
        serve.run(application, name=APP, route_prefix="/")
    except RuntimeError as error:
        parts = serve.status().applications[APP].deployments.values()
        reasons = [reason for part in parts for reason in _CAUSE.findall(part.message)]
        raise StartError("; ".join(dict.fromkeys(reasons)) or str(error)) from error


def _stop_local_cluster() -> None:
    """Serve goes first, or HAProxy outlives the cluster and keeps the port.

    Ray prints an error about a call that Serve's controller makes to itself while it ends: not for people.
    """
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        serve.shutdown()
        ray.shutdown()


def start_ray(config: Config) -> None:
    """Connect to the configured cluster, or start one that lives as long as this process."""
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    if config.ray_address is None:
        metrics = {"_metrics_export_port": config.service.metrics_port}
        quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
        ray.init(address="local", namespace=NAMESPACE, **quiet, **metrics)
    else:
        check_address(config.ray_address)
        ray.init(address=config.ray_address, namespace=NAMESPACE, log_to_driver=False)
