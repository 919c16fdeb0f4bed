"""The Ray Serve application, and how it is started on a laptop or on a cluster that is there already."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import httpx
import ray
from ray import serve
from ray.serve import Application

from personavlm.deployments.ingress import Ingress
from personavlm.deployments.local_ray import announced
from personavlm.deployments.memory_pool import NAMESPACE, MemoryPool
from personavlm.deployments.policy import Policy
from personavlm.platform.config import Config
from personavlm.platform.prompts.chosen import with_pack

APP = "personavlm"
READY_TIMEOUT_S = 120


class StartError(Exception):
    """The service could not be started; the message says why and what helps."""


def build(config: Config) -> Application:
    """The application graph: ingress in front of policy."""
    resources = {"num_cpus": config.service.cpus_per_replica}
    policy = serve.deployment(
        name="policy",
        num_replicas=config.service.policy_replicas,
        ray_actor_options=resources,
        max_ongoing_requests=64,
        graceful_shutdown_wait_loop_s=0.2,
    )
    ingress = serve.deployment(
        name="ingress",
        num_replicas=config.service.ingress_replicas,
        ray_actor_options=resources,
        max_ongoing_requests=256,
        graceful_shutdown_wait_loop_s=0.2,
    )
    return ingress(serve.ingress()(Ingress)).bind(config, policy(Policy).bind(config))


@contextmanager
def running(config: Config) -> Iterator[str]:
    """The service, ready to answer at the URL that this yields, until the block ends.

    Raises `StartError`, or `ConfigError` where the configured prompts cannot be used.
    """
    config = with_pack(config)
    check_port(config)
    start_ray(config)
    memory = MemoryPool.connect(config)
    try:
        with announced(config.memory.uri, ray.get_runtime_context().gcs_address):
            serve.start(
                http_options={"host": config.service.host, "port": config.service.port},
                logging_config={"log_level": "WARNING"},
            )
            serve.run(build(config), name=APP, route_prefix="/")
            url = f"http://{config.service.host}:{config.service.port}"
            wait_ready(url)
            yield url
    finally:
        if config.ray_address is None:
            _stop_local_cluster()
        else:
            serve.delete(APP)
            memory.stop()


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
        quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
        ray.init(address="local", namespace=NAMESPACE, **quiet)
    else:
        ray.init(address=config.ray_address, namespace=NAMESPACE, log_to_driver=False)


def check_port(config: Config) -> None:
    """Raises `StartError` when somebody listens on the port already."""
    host, port = config.service.host, config.service.port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StartError(f"{host}:{port}: {error.strerror}; choose another service.port") from error


def wait_ready(url: str) -> None:
    """Return once `/readyz` says yes. Raises `StartError` after two minutes of no."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    last = "no answer"
    while time.monotonic() < deadline:
        try:
            response = httpx.get(f"{url}/readyz", timeout=10)
            if response.status_code == 200:
                return
            last = response.text
        except httpx.TransportError as error:
            last = str(error)
        time.sleep(0.1)
    raise StartError(f"the service at {url} did not become ready within {READY_TIMEOUT_S} s: {last}")
