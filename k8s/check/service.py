"""The configuration in a RayService against the pods that are to carry it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from k8s.check.pods import Pod, pods
from k8s.check.schemas import Manifest
from personavlm.deployments.manifests import IMPORT_PATH, ManifestError, render
from personavlm.deployments.preflight import Part, Resources, lacking, parts, policy_part
from personavlm.jobs.grpo.config import GrpoConfig
from personavlm.jobs.grpo.planner import needs
from personavlm.jobs.sft.config import SftConfig
from personavlm.platform.config import Config, ConfigError

DRAIN = "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"


def drifted(overlay: Path) -> Iterator[str]:
    """Whether the committed rendering is what the overlay's configuration says."""
    if (overlay / "serve.yaml").exists():
        try:
            render(overlay / "config.yaml", overlay / "serve.yaml", only_check=True)
        except (ManifestError, ConfigError) as error:
            yield str(error)


def problems(manifests: Sequence[Manifest]) -> Iterator[str]:
    """What keeps each RayService from carrying its configuration, and configurations that are none."""
    for manifest in manifests:
        if text := manifest.get("data", {}).get("config.yaml"):
            Config.parse(yaml.safe_load(text), f"ConfigMap/{manifest['metadata']['name']} config.yaml")
        if manifest["kind"] != "RayService":
            continue
        served = yaml.safe_load(manifest["spec"]["serveConfigV2"])
        [application] = served["applications"]
        if application["import_path"] != IMPORT_PATH:
            yield f"import_path: {application['import_path']} is not {IMPORT_PATH}"
        config = Config.parse(application["args"], "serveConfigV2")
        found = [pod for pod in pods([manifest]) if pod.group]
        yield from _room(config, found)
        yield from _patience(config, found)
        yield from _storage(config, found)
        yield from _files(config, found)


def training(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Jobs whose settings are none, or ask for more than their pods have."""
    jobs = [manifest for manifest in manifests if manifest["kind"] == "RayJob"]
    texts = [each["data"]["job.yaml"] for each in manifests if "job.yaml" in each.get("data", {})]
    for manifest, text in zip(jobs, texts, strict=True):
        nodes = _nodes([pod for pod in pods([manifest]) if pod.group], "minReplicas")
        if missing := lacking(_processes(manifest["spec"]["entrypoint"], yaml.safe_load(text)), nodes):
            yield f"{manifest['metadata']['name']}: the pods have no room for {', '.join(missing)}"


def _processes(entrypoint: str, settings: Any) -> list[Part]:  # noqa: ANN401 - YAML
    """What a job's settings start, by the job that reads them."""
    if "personavlm.jobs.grpo" in entrypoint:
        asked = needs(GrpoConfig.model_validate(settings))
        return [Part(f"{need.count} of {need.what}", need.count, need.resources) for need in asked]
    strategy = SftConfig.model_validate(settings).strategy
    resources = {"GPU": 1, "CPU": strategy.cpus_per_worker}
    return [Part(f"{strategy.workers} of learner", strategy.workers, resources)]


def _room(config: Config, found: list[Pod]) -> Iterator[str]:
    least = _nodes(found, "minReplicas")
    if missing := lacking(parts(config), least):
        yield f"the least pods have no room for {', '.join(missing)}"
    most = [*parts(config)[:-1], policy_part(config, config.policy.most_replicas)]
    if missing := lacking(most, _nodes(found, "maxReplicas")):
        yield f"the most pods have no room for {', '.join(missing)}"
    head = [_node(pod.group, pod) for pod in found if pod.group and "groupName" not in pod.group]
    if not lacking([Part("work", 1, {"CPU": 0.01})], head):
        yield 'headGroupSpec: set num-cpus to "0", or replicas run on the head'


def _nodes(found: list[Pod], count: str) -> list[Resources]:
    return [
        _node(pod.group, pod) for pod in found if "groupName" in pod.group for _ in range(pod.group[count])
    ]


def _node(group: Any, pod: Pod) -> Resources:  # noqa: ANN401 - JSON
    """What Ray will find on such a pod, as KubeRay tells it."""
    limits = pod.spec["containers"][0]["resources"]["limits"]
    amounts = {"CPU": float(limits["cpu"]), "GPU": float(limits.get("nvidia.com/gpu", 0))}
    if "num-cpus" in group["rayStartParams"]:
        amounts["CPU"] = float(group["rayStartParams"]["num-cpus"])
    return amounts | {name: float(amount) for name, amount in group.get("resources", {}).items()}


def _patience(config: Config, found: list[Pod]) -> Iterator[str]:
    """Replies that have begun must have time to end before the pod does."""
    for pod in found:
        variables = {each["name"]: each.get("value") for each in pod.spec["containers"][0]["env"]}
        drain_s, grace_s = float(variables[DRAIN]), pod.spec["terminationGracePeriodSeconds"]
        if drain_s >= grace_s and "groupName" in pod.group:
            yield f"{pod.where}: {DRAIN} must be below terminationGracePeriodSeconds"
        if drain_s <= config.policy.drain_s and not _is_for_memory(config, pod) and "groupName" in pod.group:
            yield f"{pod.where}: policy.drain_s must be below {DRAIN}"


def _storage(config: Config, found: list[Pod]) -> Iterator[str]:
    """A folder has to be a persistent volume, of a group that has one pod."""
    if config.memory.is_remote:
        return
    path = PurePosixPath(config.memory.uri)
    for pod in found:
        if _is_for_memory(config, pod):
            mounts = {m["mountPath"]: m["name"] for m in pod.spec["containers"][0]["volumeMounts"]}
            above = [mounts[str(folder)] for folder in (path, *path.parents) if str(folder) in mounts]
            if not any("persistentVolumeClaim" in pod.volume(name) for name in above):
                yield f"{pod.where}: memory.uri {path} is on no persistent volume; pods lose their own disks"
            if pod.group["maxReplicas"] != 1:
                yield f"{pod.where}: a folder as memory.uri needs maxReplicas: 1; use a bucket for more pods"


def _files(config: Config, found: list[Pod]) -> Iterator[str]:
    """Files that the configuration names have to be where something is mounted."""
    for pod in found:
        mounts = [mount["mountPath"] for mount in pod.spec["containers"][0]["volumeMounts"]]
        if not any(config.service.keys_file.is_relative_to(place) for place in mounts):
            yield f"{pod.where}: nothing is mounted where service.keys_file is: {config.service.keys_file}"


def _is_for_memory(config: Config, pod: Pod) -> bool:
    """Whether memory actors find their resources on such a pod."""
    return bool(config.memory.resources.keys() & pod.group.get("resources", {}).keys())
