"""The Ray cluster of a RayService or RayJob on this machine: a pod is one `ray start`, as KubeRay writes it.

What a pod would mount stands in a folder of the test: paths in commands and in the configuration are moved
there. Ports are free ones. All else is as the manifests say it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import ray
import yaml

from k8s.check.pods import FOREVER, Pod, pods
from k8s.check.rendering import build
from k8s.check.schemas import Manifest
from personavlm.deployments.local_ray import free_port, haproxy_without_splice
from tests.integration.observed import short_folder, until
from tests.integration.redis_server import Redis

ROOT = Path(__file__).parents[2]
SOURCES = ("platform", "deployments", "jobs", "memory_store")
READY_S = 240
JOB_S = 600


@dataclass(frozen=True)
class Node:
    """One pod, running."""

    pod: Pod
    process: subprocess.Popen[bytes]
    agent_port: int
    metrics_port: int


@dataclass
class Cluster:
    """Its pods, running; ``home`` is the folder that stands for everything mounted."""

    manifest: Manifest
    home: Path
    gcs_port: int
    dashboard_port: int
    serve_port: int
    environment: Mapping[str, str]
    redis: Redis | None
    nodes: list[Node] = field(default_factory=list)

    @property
    def dashboard(self) -> str:
        return f"http://127.0.0.1:{self.dashboard_port}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.serve_port}"

    def moved(self, text: str) -> str:
        """With the folders of the test in place of what is mounted."""
        for mount in ("/etc/personavlm-keys", "/etc/personavlm/", "/var/lib/personavlm"):
            text = text.replace(mount, f"{self.home}{mount}")
        return text

    def run(self, command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
        """A command of a container, to its end."""
        words = [self.moved(word) for word in command]
        return subprocess.run(
            words, env={**self.environment, **variables}, capture_output=True, text=True, timeout=240
        )

    def start(self, pod: Pod) -> Node:
        """One more pod of a group, or the head."""
        agent, metrics = free_port(), free_port()
        params = {**pod.group["rayStartParams"], "dashboard-agent-listen-port": str(agent)}
        params |= {"metrics-export-port": str(metrics), "block": "true"}
        head = "groupName" not in pod.group
        if head:  # in a new pod, which knows of no cluster
            Path(self.environment["RAY_TMPDIR"], "ray/ray_current_cluster").unlink(missing_ok=True)
            params |= {"head": "true", "port": str(self.gcs_port), "dashboard-port": str(self.dashboard_port)}
            params |= {"include-dashboard": "true", "dashboard-host": "127.0.0.1"}
            params |= {"redis-password": self.redis.password} if self.redis else {}
        else:
            params["address"] = f"127.0.0.1:{self.gcs_port}"
        limits = pod.spec["containers"][0]["resources"]["limits"]
        params.setdefault("num-cpus", limits["cpu"])
        params.setdefault("num-gpus", limits.get("nvidia.com/gpu", "0"))
        if resources := pod.group.get("resources"):
            params["resources"] = json.dumps({name: float(amount) for name, amount in resources.items()})
        params["object-store-memory"] = str(100 * 2**20)
        words = [
            "ray",
            "start",
            *(f"--{k}" if v == "true" and k in FLAGS else f"--{k}={v}" for k, v in params.items()),
        ]
        named = {each["name"]: each["value"] for each in pod.spec["containers"][0]["env"] if "value" in each}
        state = _state_in(self.redis, head) if self.redis else {}
        environment = {**named, **self.environment, **_own(), **state}
        process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
        node = Node(pod, process, agent, metrics)
        self.nodes.append(node)
        until(lambda: self.alive(node), pod.where)
        return node

    def alive(self, node: Node) -> bool:
        """Whether what the pod's liveness probe asks is answered."""
        asked = node.pod.spec["containers"][0]["livenessProbe"]["httpGet"]
        port = self.dashboard_port if asked["port"] == 8265 else node.agent_port
        try:
            return httpx.get(f"http://127.0.0.1:{port}{asked['path']}", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def deploy(self, change: Callable[[dict[str, Any]], None] = lambda args: None) -> dict[str, Any]:
        """Hand `serveConfigV2` to Ray as KubeRay does; what the status says once it runs.

        ``change`` may change the configuration first.
        """
        served = yaml.safe_load(self.moved(self.manifest["spec"]["serveConfigV2"]))
        served["http_options"]["port"] = self.serve_port
        change(served["applications"][0]["args"])
        place = f"{self.dashboard}/api/serve/applications/"
        httpx.put(place, json=served, timeout=60).raise_for_status()
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            status: dict[str, Any] = httpx.get(place, timeout=60).json()["applications"]["personavlm"]
            if status["status"] in ("RUNNING", "DEPLOY_FAILED"):
                return status
            time.sleep(0.5)  # between two looks: the dashboard tells nobody by itself
        raise TimeoutError(str(status))

    def submit(self) -> str:
        """Have a RayJob's entrypoint run as KubeRay does (`HTTPMode`); what it printed. AssertionError."""
        entrypoint = self.moved(self.manifest["spec"]["entrypoint"])
        place = f"{self.dashboard}/api/jobs/"
        sent = httpx.post(place, json={"entrypoint": entrypoint}, timeout=60).raise_for_status()
        job = f"{place}{sent.json()['submission_id']}"
        deadline = time.monotonic() + JOB_S
        while (status := httpx.get(job, timeout=60).json()["status"]) in ("PENDING", "RUNNING"):
            assert time.monotonic() < deadline, status
            time.sleep(0.5)  # between two looks, as above
        said: str = httpx.get(f"{job}/logs", timeout=60).json()["logs"]
        assert status == "SUCCEEDED", said
        return said


FLAGS = ("head", "block")


@contextmanager
def cluster(overlay: str, home: Path, redis: Redis | None = None) -> Iterator[Cluster]:
    """The pods of an overlay's RayService or RayJob, one of each group; the head's state is in ``redis``."""
    if not Path(ray.__file__).with_name("dashboard").joinpath("client").exists():
        pytest.skip("this environment was made without Ray's dashboard: make clean")
    manifests = build(ROOT / "k8s" / "overlays" / overlay)
    [manifest] = [each for each in manifests if each["kind"] in FOREVER]
    [settings] = [each for each in manifests if each["kind"] == "ConfigMap"]
    replicas = free_port()  # of another cluster beside this one, they would have the same
    with short_folder() as ray_folder:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in SOURCES),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "RAY_AUTH_MODE": "disabled", "RAY_TMPDIR": str(ray_folder),
            "RAY_SERVE_HAPROXY_BINARY_PATH": str(haproxy_without_splice(ray_folder)),  # as the image has it
            "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(replicas),
            "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(replicas + 100),
            "SERVE_SOCKET_REUSE_PORT_ENABLED": "1", "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
        }  # fmt: skip
        found = Cluster(manifest, home, free_port(), free_port(), free_port(), environment, redis)
        environment["RAY_ADDRESS"] = f"127.0.0.1:{found.gcs_port}"
        for name in ("personavlm", "personavlm-keys"):
            (home / "etc" / name).mkdir(parents=True)
        for name, text in settings["data"].items():
            (home / "etc/personavlm" / name).write_text(found.moved(text))
        try:
            for pod in pods([manifest]):
                found.start(pod)
            yield found
        finally:
            for node in reversed(found.nodes):
                end(node.process)


def _own() -> dict[str, str]:
    """What processes in different pods cannot share by accident: HAProxy's files and ports."""
    folder = Path(tempfile.mkdtemp(prefix="pv-"))
    files = {
        "CONFIG_FILE_LOC": "haproxy.cfg", "SOCKET_PATH": "admin.sock",
        "SERVER_STATE_BASE": "state", "SERVER_STATE_FILE": "server-state",
    }  # fmt: skip
    ports = (
        "HAPROXY_METRICS_PORT",
        "HAPROXY_STATS_PORT",
        "FALLBACK_PROXY_HTTP_PORT",
        "FALLBACK_PROXY_GRPC_PORT",
    )
    return {
        **{f"RAY_SERVE_HAPROXY_{name}": str(folder / file) for name, file in files.items()},
        **{f"RAY_SERVE_{name}": str(free_port()) for name in ports},
    }


def _state_in(redis: Redis, head: bool) -> dict[str, str]:
    """What KubeRay sets where there are `gcsFaultToleranceOptions`."""
    if not head:
        return {"RAY_gcs_rpc_server_reconnect_timeout_s": "600"}
    return {"RAY_REDIS_ADDRESS": redis.address, "RAY_external_storage_namespace": "personavlm"}


def end(process: subprocess.Popen[bytes]) -> None:
    """At once, with everything that it started: what a pod leaves behind is the machine's to forget."""
    subprocess.run(["pkill", "-KILL", "--session", str(process.pid)], check=False)
    process.wait()
