"""What every pod of ours has to have, and what no manifest may hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from k8s.check.pods import FOREVER, Pod, pods
from k8s.check.schemas import Manifest

_CREDENTIAL = re.compile(r"(SECRET|PASSWORD|TOKEN|_KEY)(_ID)?$")
_CREDENTIAL_TEXT = re.compile(
    r"^\s*[\w.-]*(secret|password|token|access_key|api_key)\w*\s*[:=]\s*\S", re.I | re.M
)
_BY_REFERENCE = re.compile(r"(_env|_file|tokens_per_minute|max_tokens|context_tokens)\s*[:=]", re.I)


def problems(manifests: Sequence[Manifest], known_secrets: str) -> Iterator[str]:
    """Everything that breaks a rule. ``known_secrets`` is the text that tells which Secrets to make."""
    for manifest in manifests:
        name = f"{manifest['kind']}/{manifest['metadata']['name']}"
        for problem in (*_nothing(manifest, ""), *_in_the_open(manifest)):
            yield f"{name}: {problem}"
    found = pods(manifests)
    for pod in found:
        for rule in RULES:
            for problem in rule(pod):
                yield f"{pod.where}: {problem}"
    yield from _selectors(manifests, found)
    yield from _references(manifests, found, known_secrets)


def _nothing(value: Any, path: str) -> Iterator[str]:  # noqa: ANN401 - any JSON
    if value is None:
        yield f"{path} has no value"
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _nothing(item, f"{path}.{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _nothing(item, f"{path}[{number}]")


def _in_the_open(manifest: Manifest) -> Iterator[str]:
    if manifest["kind"] == "Secret":
        yield "a Secret does not belong in files; create it by itself"
    texts = manifest.get("data", {}).values() if manifest["kind"] == "ConfigMap" else ()
    served = manifest.get("spec", {}).get("serveConfigV2", "")
    for text in (*texts, served):
        for found in _CREDENTIAL_TEXT.finditer(text):
            if not _BY_REFERENCE.search(found.group()):
                yield f"{found.group().strip()}… looks like a credential; put it into a Secret"


def _images(pod: Pod) -> Iterator[str]:
    for container in pod.containers:
        image = container.get("image", "")
        _, _, tag = image.rpartition("/")[2].partition(":")
        if "@sha256:" not in image and (not tag or tag == "latest"):
            yield f"{container['name']}: the image {image!r} needs a tag of its own, which is not latest"


def _rights(pod: Pod) -> Iterator[str]:
    context = pod.spec.get("securityContext", {})
    if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
        yield "securityContext: set runAsNonRoot: true and a runAsUser other than 0"
    if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "securityContext.seccompProfile: say RuntimeDefault"
    for container in pod.containers:
        own = container.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False or own.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{container['name']}: allowPrivilegeEscalation must be false, and all capabilities dropped"
        if own.get("privileged") or own.get("runAsUser") == 0 or own.get("runAsNonRoot") is False:
            yield f"{container['name']}: may not run as root"


def _amounts(pod: Pod) -> Iterator[str]:
    for container in pod.containers:
        for kind in ("requests", "limits"):
            for what in ("cpu", "memory"):
                if what not in container.get("resources", {}).get(kind, {}):
                    yield f"{container['name']}: resources.{kind}.{what} is not set"


def _credentials(pod: Pod) -> Iterator[str]:
    for container in pod.containers:
        for variable in container.get("env", ()):
            if "value" in variable and _CREDENTIAL.search(variable["name"]):
                yield f"{container['name']}: {variable['name']} belongs in a Secret: valueFrom.secretKeyRef"


def _probes(pod: Pod) -> Iterator[str]:
    """Without ours, KubeRay's probes call wget, which the image has not."""
    if pod.kind in FOREVER and pod.group:
        for container in pod.spec["containers"]:
            for probe in ("livenessProbe", "readinessProbe"):
                if probe not in container:
                    yield f"{container['name']}: {probe} is missing"


def _mounts(pod: Pod) -> Iterator[str]:
    for container in pod.containers:
        for mount in container.get("volumeMounts", ()):
            if not pod.volume(mount["name"]):
                yield f"{container['name']}: there is no volume {mount['name']!r}"
    if pod.group and not any(
        mount["mountPath"] == "/dev/shm" and "sizeLimit" in pod.volume(mount["name"]).get("emptyDir", {})
        for mount in pod.spec["containers"][0].get("volumeMounts", ())
    ):
        yield "/dev/shm needs a volume with a sizeLimit"


RULES: tuple[Callable[[Pod], Iterator[str]], ...] = (
    _images, _rights, _amounts, _credentials, _probes, _mounts,
)  # fmt: skip


def _selectors(manifests: Sequence[Manifest], found: list[Pod]) -> Iterator[str]:
    """Budgets, spreads and policies that choose pods which do not exist."""
    for pod in found:
        for spread in pod.spec.get("topologySpreadConstraints", ()):
            if not _matches(spread["labelSelector"]["matchLabels"], [pod]):
                yield f"{pod.where}: topologySpreadConstraints do not choose this pod"
    for manifest in manifests:
        name = f"{manifest['kind']}/{manifest['metadata']['name']}"
        budget = manifest["kind"] == "PodDisruptionBudget"
        if budget and not _matches(manifest["spec"]["selector"]["matchLabels"], found):
            yield f"{name}: its selector chooses no pod"


def _matches(labels: Mapping[str, str], found: list[Pod]) -> bool:
    return any(labels.items() <= pod.labels.items() for pod in found)


def _references(manifests: Sequence[Manifest], found: list[Pod], known_secrets: str) -> Iterator[str]:
    """Names of things that are neither here nor described."""
    here = {(each["kind"], each["metadata"]["name"]) for each in manifests}
    for pod in found:
        for kind, name in _named(pod.spec):
            if kind == "Secret" and f"`{name}`" not in known_secrets:
                yield f"{pod.where}: the Secret {name!r} is not described in README.md"
            elif kind != "Secret" and (kind, name) not in here:
                yield f"{pod.where}: there is no {kind} {name!r}"


def _named(value: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - any JSON
    if isinstance(value, list):
        for item in value:
            yield from _named(item)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if key in ("secretRef", "secretKeyRef"):
                yield "Secret", item["name"]
            elif key == "secret":
                yield "Secret", item["secretName"]
            elif key in ("configMap", "configMapRef", "configMapKeyRef"):
                yield "ConfigMap", item["name"]
            elif key == "persistentVolumeClaim":
                yield "PersistentVolumeClaim", item["claimName"]
            elif key == "priorityClassName":
                yield "PriorityClass", item
            else:
                yield from _named(item)
