"""Rules about pods and configurations: each is broken once."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s.check import policy, service
from k8s.check.__main__ import ROOT
from k8s.check.rendering import build

README = (ROOT / "README.md").read_text()
Document = dict[str, Any]


@pytest.fixture(scope="module")
def prod() -> list[Document]:
    return [dict(each) for each in build(ROOT / "overlays" / "prod")]


@pytest.fixture(scope="module")
def dev() -> list[Document]:
    return [dict(each) for each in build(ROOT / "overlays" / "dev")]


def kind(manifests: list[Document], name: str) -> Document:
    return next(each for each in manifests if each["kind"] == name)


def head(manifests: list[Document]) -> Document:
    cluster = kind(manifests, "RayService")["spec"]["rayClusterConfig"]
    spec: Document = cluster["headGroupSpec"]["template"]["spec"]
    return spec


def container(manifests: list[Document]) -> Document:
    first: Document = head(manifests)["containers"][0]
    return first


BROKEN: list[tuple[Callable[[list[Document]], object], str]] = [
    (lambda m: container(m).update(image="personavlm:latest"), "which is not latest"),
    (lambda m: container(m).update(image="registry:5000/personavlm"), "which is not latest"),
    (lambda m: head(m)["securityContext"].pop("runAsNonRoot"), "runAsNonRoot"),
    (lambda m: head(m)["securityContext"].update(runAsUser=0), "runAsNonRoot"),
    (lambda m: container(m)["securityContext"].update(runAsUser=0), "may not run as root"),
    (lambda m: container(m)["securityContext"].pop("capabilities"), "capabilities"),
    (lambda m: container(m)["resources"].pop("limits"), "resources.limits.memory"),
    (lambda m: container(m).pop("livenessProbe"), "livenessProbe is missing"),
    (lambda m: container(m)["env"].append({"name": "OPENAI_API_KEY", "value": "sk"}), "belongs in a Secret"),
    (lambda m: container(m)["envFrom"].append({"secretRef": {"name": "other"}}), "not described"),
    (lambda m: container(m)["volumeMounts"].pop(2), "/dev/shm"),
    (lambda m: head(m)["volumes"].pop(0), "there is no volume 'config'"),
    (lambda m: head(m).update(priorityClassName="urgent"), "no PriorityClass 'urgent'"),
    (lambda m: container(m).update(workingDir=None), "workingDir has no value"),
    (lambda m: kind(m, "ConfigMap")["data"].update(x="access_key: abc"), "looks like a credential"),
    (lambda m: m.append({"kind": "Secret", "metadata": {"name": "s"}}), "does not belong in files"),
    (lambda m: kind(m, "PodDisruptionBudget")["spec"].update(
        selector={"matchLabels": {"app.kubernetes.io/component": "nobody"}}), "chooses no pod"),
]  # fmt: skip


def test_ours_break_no_rule(prod: list[Document], dev: list[Document]) -> None:
    for manifests in (prod, dev):
        assert not [*policy.problems(manifests, README), *service.problems(manifests)]


@pytest.mark.parametrize(("break_it", "said"), BROKEN, ids=[said for _, said in BROKEN])
def test_a_broken_rule_is_named(prod: list[Document], break_it: Callable[..., object], said: str) -> None:
    manifests = copy.deepcopy(prod)
    break_it(manifests)
    assert any(said in problem for problem in policy.problems(manifests, README))


def changed(manifests: list[Document], section: str, **fields: object) -> list[str]:
    """Problems of the service with another configuration."""
    manifests = copy.deepcopy(manifests)
    spec = kind(manifests, "RayService")["spec"]
    served = yaml.safe_load(spec["serveConfigV2"])
    served["applications"][0]["args"][section].update(fields)
    spec["serveConfigV2"] = yaml.safe_dump(served)
    return list(service.problems(manifests))


def test_gpus_that_no_pod_has(prod: list[Document]) -> None:
    assert "no room for policy" in changed(prod, "policy", gpus=2)[0]


def test_more_replicas_than_there_may_be_pods(prod: list[Document]) -> None:
    scaling = {"min_replicas": 2, "max_replicas": 17}
    assert changed(prod, "policy", autoscaling=scaling) == ["the most pods have no room for policy"]


def test_more_memory_actors_than_pods_hold(prod: list[Document]) -> None:
    assert any("memory actors" in problem for problem in changed(prod, "memory", actors=5))


def test_replies_need_time_to_end(prod: list[Document]) -> None:
    assert any("policy.drain_s must be below" in each for each in changed(prod, "policy", drain_s=280))


def test_a_journal_needs_a_volume(dev: list[Document]) -> None:
    problems = changed(dev, "memory", uri="/tmp/memory")
    assert any("is on no persistent volume" in problem for problem in problems)


def test_keys_have_to_be_mounted(dev: list[Document]) -> None:
    assert any("keys_file" in each for each in changed(dev, "service", keys_file="/keys.json"))


def test_a_head_does_no_work(prod: list[Document]) -> None:
    manifests = copy.deepcopy(prod)
    cluster = kind(manifests, "RayService")["spec"]["rayClusterConfig"]
    del cluster["headGroupSpec"]["rayStartParams"]["num-cpus"]
    assert any("run on the head" in problem for problem in service.problems(manifests))


def test_a_rendering_that_is_not_of_its_configuration(tmp_path: Path) -> None:
    for name in ("config.yaml", "serve.yaml"):
        (tmp_path / name).write_text((ROOT / "overlays" / "prod" / name).read_text())
    assert not list(service.drifted(tmp_path))
    text = (tmp_path / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(text.replace("shards: 8", "shards: 9"))
    assert "write it anew: personavlm k8s render" in next(service.drifted(tmp_path))


@pytest.mark.parametrize(
    ("job", "before", "after", "what"),
    [
        ("sft", "workers: 8", "workers: 9", "9 of learner"),
        ("grpo", "{kind: fsdp2, workers: 8", "{kind: fsdp2, workers: 17", "17 of learner"),
        ("grpo", "gpus_per_worker: 1", "gpus_per_worker: 2", "8 of rollout worker"),
    ],
)
def test_training_has_gpus(job: str, before: str, after: str, what: str) -> None:
    manifests = [dict(each) for each in build(ROOT / "overlays" / "train" / job)]
    assert not list(service.training(manifests))
    settings = kind(manifests, "ConfigMap")["data"]
    settings["job.yaml"] = settings["job.yaml"].replace(before, after)
    assert what in next(service.training(manifests))
