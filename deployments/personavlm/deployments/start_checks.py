"""What can be known to go wrong at the start, said before it is waited for in vain."""

from __future__ import annotations

import os
import socket
import time

import httpx
import ray
from ray.autoscaler.sdk import request_resources
from ray.exceptions import GetTimeoutError, RayActorError

from personavlm.deployments import preflight
from personavlm.deployments.local_ray import reach
from personavlm.deployments.memory_pool import MemoryPool
from personavlm.deployments.store_root import protection, store_root
from personavlm.memory_store import StoreError
from personavlm.memory_store.storage.probe import require_conditional_writes
from personavlm.platform.config import Config, MemoryConfig
from personavlm.platform.encoders.build import check_images
from personavlm.platform.errors import CommandError, WeightsError

READY_TIMEOUT_S = 120
PAUSE_S = 1.0


class StartError(CommandError):
    """The service could not be started; the message says why and what helps."""


def check_port(config: Config) -> None:
    """Raises `StartError` when somebody listens on the port already."""
    host, port = config.service.host, config.service.port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StartError(f"{host}:{port}: {error.strerror}; choose another service.port") from error


def check_address(address: str) -> None:
    """Raises `StartError` where no cluster listens."""
    try:
        reach(address)
    except OSError as error:
        raise StartError(f"ray_address {address}: {error}; `ray status` on the head says more") from error


def check_models(config: Config) -> None:
    """Raises `StartError` where what the configured models need is plainly not installed."""
    try:
        check_images(config.images)
    except WeightsError as error:
        raise StartError(str(error)) from error


def missing_variables(config: Config) -> list[str]:
    """Variables of the environment that the configuration names and that are not set, with their fields."""
    named = {"memory.master_key_env": config.memory.master_key_env}
    for field, section in (("engine", config.engine), ("audio", config.audio)):
        if "api_key_env" in section.model_fields_set:
            named[f"{field}.api_key_env"] = getattr(section, "api_key_env", None)
    return [f"{field} names {name}" for field, name in named.items() if name and not os.environ.get(name)]


def check_environment(config: Config) -> None:
    """Raises `StartError` where a secret is named that is not there."""
    if missing := missing_variables(config):
        raise StartError(
            f"{' and '.join(missing)}, which the environment does not have; set it (on Kubernetes by a "
            "secretKeyRef of the pods), or leave the field out"
        )


def check_storage(memory: MemoryConfig) -> None:
    """Try conditional writes on the bucket, and the master key. Raises `StartError` with the reason."""
    try:
        if memory.is_remote:
            require_conditional_writes(store_root(memory))
        protection(memory, store_root(memory))
    except (StoreError, ModuleNotFoundError, ValueError, OSError) as error:
        raise StartError(f"memory.uri {memory.uri}: {error}") from error


def check_resources(config: Config) -> None:
    """Print what is asked for and what is free. Raises `StartError` where the cluster cannot have it all."""
    asked, nodes = preflight.parts(config), preflight.free_on_nodes()
    table = preflight.table(asked, nodes)
    missing = preflight.lacking(asked, nodes)
    taken_over = MemoryPool.running(config) is not None  # what an earlier start left running is not free
    if missing and not (config.policy.wait_for_nodes or taken_over):
        raise StartError(f"the cluster has no room for {', '.join(missing)}\n{table}")
    print(table, flush=True)
    if missing and not taken_over:
        patience = config.policy.wait_for_nodes_s
        print(f"waiting {patience:g} s for nodes that have room for {', '.join(missing)}", flush=True)
        wait_for_room(asked, patience)


def wait_for_room(asked: list[preflight.Part], patience_s: float) -> None:
    """Ask the cluster's autoscaler for room, and return once there is. Raises `StartError`."""
    request_resources(bundles=[dict(part.each) for part in asked for _ in range(part.count)])
    deadline = time.monotonic() + patience_s
    try:
        while missing := preflight.lacking(asked, nodes := preflight.free_on_nodes()):
            if time.monotonic() >= deadline:
                raise StartError(
                    f"no node with room for {', '.join(missing)} came within {patience_s:g} s; ask for less, "
                    "let the autoscaler add more or larger nodes, or raise policy.wait_for_nodes_s\n"
                    f"{preflight.table(asked, nodes)}"
                )
            time.sleep(PAUSE_S)  # Ray tells nobody that a node has come
    finally:
        request_resources(bundles=[])


def wait_opened(memory: MemoryPool) -> None:
    """Return once every memory actor has opened its shards. `StartError` with what kept one from it."""
    try:
        ray.get([actor.ready.remote() for actor in memory.actors], timeout=READY_TIMEOUT_S)
    except RayActorError as error:
        raise StartError(f"a memory actor could not start: {reason_of(error)}") from error
    except GetTimeoutError as error:
        raise StartError(f"the memory actors did not open their shards within {READY_TIMEOUT_S} s") from error


def reason_of(error: Exception) -> str:
    """The last line of what Ray tells of an error in another process: the error itself."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip().removeprefix("personavlm.memory_store.errors.")


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
        time.sleep(0.1)  # between two looks
    raise StartError(f"the service at {url} did not become ready within {READY_TIMEOUT_S} s: {last}")
