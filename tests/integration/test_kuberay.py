"""The manifests' own pods, commands, probes and configuration, on a Ray cluster as KubeRay would start it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from ray.dashboard.modules.reporter.reporter_agent import METRICS_GAUGES

from k8s.check.names import commands
from k8s.check.pods import Pod, pods
from k8s.check.rendering import build, build_with_components
from personavlm.deployments.chat_metrics import ChatMetrics
from personavlm.deployments.courtesy import CourteousEngine, Courtesy
from personavlm.deployments.keys import create_key
from personavlm.deployments.update_metrics import UpdateMetrics
from personavlm.deployments.update_queue import UpdateQueue
from personavlm.memory_store import UserKey
from personavlm.platform.engines.scripted import ScriptedEngine
from tests.integration.kuberay import ROOT, Cluster, Node, cluster
from tests.integration.observed import until

pytestmark = pytest.mark.cluster
OVERLAY = ROOT / "k8s" / "overlays" / "dev"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster("dev", tmp_path_factory.mktemp("dev")) as found:
        create_key(found.home / "etc/personavlm-keys/keys.json", "acme")
        yield found


@pytest.fixture(scope="module")
def key(running: Cluster) -> str:
    """Of a tenant, once the service answers."""
    made = create_key(running.home / "etc/personavlm-keys/keys.json", "acme")
    status = running.deploy()
    assert status["status"] == "RUNNING", status["message"]
    until(lambda: _status(f"{running.url}/readyz") == 200, "the service")
    return made


def test_the_check_of_a_pod_passes(running: Cluster) -> None:
    for node in running.nodes:
        for container in node.pod.spec.get("initContainers", ()):
            done = running.run(container["command"])
            assert done.returncode == 0, done.stdout + done.stderr


def test_clients_are_answered(running: Cluster, key: str) -> None:
    chat(running, key, "I have a cat named Mochi.")
    assert "Mochi" in chat(running, key, "What is my cat called?")


def test_probes_say_which_pods_take_clients(running: Cluster, key: str) -> None:
    for node in running.nodes:
        assert running.alive(node), node.pod.where
        asked = node.pod.spec["containers"][0]["readinessProbe"]["httpGet"]
        assert asked["path"] in ("/-/healthz", "/api/gcs_healthz")
    assert _status(f"{running.url}/-/healthz") == 200


def test_a_backup_comes_back(running: Cluster, key: str, tmp_path: Path) -> None:
    chat(running, key, "I have a dog named Rex.")
    backup, restore = _jobs()
    place, empty = tmp_path / "backups", tmp_path / "restored"
    done = running.run(backup, RAY_DASHBOARD=running.dashboard, BACKUPS=str(place))
    assert done.returncode == 0, done.stdout + done.stderr
    [copy] = place.iterdir()
    config = running.home / "etc/personavlm/restore.yaml"
    config.write_text(f"memory: {{uri: {empty}}}")
    words = [word.replace("personavlm/config.yaml", "personavlm/restore.yaml") for word in restore]
    done = running.run(words, BACKUP=str(copy), LOST_STORE=f"{running.home}/var/lib/personavlm/memory")
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(empty.glob("shard-*"))


def test_every_metric_that_is_watched_exists(running: Cluster, key: str) -> None:
    wanted = set((ROOT / "k8s/schemas/metrics.txt").read_text().split())
    chat(running, key, "I have a bird named Pip.", stream=True)
    rare = {f"ray_{name}" for name in (*_counted(), *METRICS_GAUGES) if f"ray_{name}" not in _series(running)}
    until(lambda: wanted - rare <= _series(running), f"{sorted(wanted - rare - _series(running))}")


def test_a_new_configuration_replaces_replicas_and_no_request_fails(running: Cluster, key: str) -> None:
    def shorter(args: dict[str, Any]) -> None:
        args["agent"] = {"max_tokens": 512}

    before = _replicas(running)
    running.deploy(shorter)
    until(lambda: chat(running, key, "Hello") and not before & _replicas(running), "new replicas")


def test_memory_goes_elsewhere_when_its_pod_ends(running: Cluster, key: str) -> None:
    chat(running, key, "I have a parrot named Kiwi.")
    [old] = [node for node in running.nodes if node.pod.group.get("groupName") == "memory"]
    running.start(old.pod)
    old.process.terminate()
    old.process.wait(90)
    assert "Kiwi" in until(lambda: _asked(running, key, "What is my parrot called?"), "the memory")


def test_a_configuration_that_cannot_be_says_so(running: Cluster, key: str) -> None:
    def too_much(args: dict[str, Any]) -> None:
        args["policy"]["gpu"] = 8

    status = running.deploy(too_much)
    assert status["status"] == "DEPLOY_FAILED" and "policy.gpu" in status["message"]
    assert chat(running, key, "Hello")  # the old one goes on


def chat(running: Cluster, key: str, text: str, *, stream: bool = False) -> str:
    """One message of one user; every status but 200 is an error."""
    body = {
        "model": "rules",
        "user": "ana",
        "stream": stream,
        "messages": [{"role": "user", "content": text}],
    }
    headers = {"Authorization": f"Bearer {key}"}
    answer = httpx.post(f"{running.url}/v1/chat/completions", json=body, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.text


def _asked(running: Cluster, key: str, text: str) -> str | None:
    try:
        return chat(running, key, text)
    except AssertionError:  # while the actor is on its way
        return None


def _status(url: str) -> int:
    try:
        return httpx.get(url, timeout=30).status_code
    except httpx.TransportError:
        return 0


def _jobs() -> list[list[str]]:
    """The commands of the backup and of the restore."""
    everything = build_with_components(ROOT / "k8s", ROOT / "k8s/overlays/prod", {"RayService"})
    [backup] = [pod for pod in pods(everything) if pod.kind == "CronJob"]
    return [_shell(backup), _shell(_restore())]


def _shell(pod: Pod) -> list[str]:
    container = pod.spec["containers"][0]
    return [*container["command"], *container["args"]]


def _restore() -> Pod:
    [pod] = pods(build(ROOT / "k8s/overlays/restore"))
    assert commands(pod)
    return pod


def _series(running: Cluster) -> set[str]:
    found: set[str] = set()
    for node in running.nodes:
        text = _metrics(node)
        found |= {line.split("{")[0].split(" ")[0] for line in text.splitlines() if line and line[0] != "#"}
    return found


def _metrics(node: Node) -> str:
    try:
        return httpx.get(f"http://127.0.0.1:{node.metrics_port}/metrics", timeout=30).text
    except httpx.TransportError:  # a pod that has ended
        return ""


def _counted() -> set[str]:
    """Counters of ours that appear when first something is counted."""

    async def update(user: UserKey) -> None:
        raise NotImplementedError(user)  # only the counters are wanted, nothing is updated

    engine = CourteousEngine(ScriptedEngine([]), Courtesy())
    chats, updates = ChatMetrics(), UpdateMetrics(UpdateQueue(update), engine, 0)
    counters = (*chats._tokens.values(), *updates._counters.values())
    parts = [*vars(chats).values(), *vars(updates).values(), *counters]
    return {part.info["name"] for part in parts if hasattr(part, "info")}


def _replicas(running: Cluster) -> set[str]:
    place = f"{running.dashboard}/api/serve/applications/"
    parts = httpx.get(place, timeout=30).json()["applications"]["personavlm"]["deployments"]
    return {replica["actor_id"] for part in parts.values() for replica in part["replicas"]}
