"""The pods in manifests, wherever they stand in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from k8s.check.schemas import Manifest

FOREVER = ("RayService", "RayJob")
"""Kinds whose containers run until they are ended: those need probes."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A template of pods. ``group`` is the Ray group that it belongs to, where it does."""

    where: str
    kind: str
    spec: Mapping[str, Any]
    labels: Mapping[str, str]
    group: Mapping[str, Any]

    @property
    def containers(self) -> list[Mapping[str, Any]]:
        """All of them, those that run first included."""
        return [*self.spec.get("initContainers", ()), *self.spec["containers"]]

    def volume(self, name: str) -> Mapping[str, Any]:
        """The volume of this name; empty where there is none."""
        return next((each for each in self.spec.get("volumes", ()) if each["name"] == name), {})


def pods(manifests: Sequence[Manifest]) -> list[Pod]:
    """Every template of pods in the manifests."""
    found = []
    for manifest in manifests:
        name = f"{manifest['kind']}/{manifest['metadata']['name']}"
        found += [
            Pod(f"{name} {path}", manifest["kind"], template["spec"], _labels(template), group)
            for path, template, group in _templates(manifest, "", {})
        ]
    return found


def _labels(template: Mapping[str, Any]) -> Mapping[str, str]:
    return template.get("metadata", {}).get("labels", {})


Found = tuple[str, Mapping[str, Any], Mapping[str, Any]]
"""Where a template stands, the template, and its Ray group."""


def _templates(value: object, path: str, group: Mapping[str, Any]) -> Iterator[Found]:
    if isinstance(value, list):
        for number, item in enumerate(value):
            name = item.get("groupName", number) if isinstance(item, dict) else number
            yield from _templates(item, f"{path}[{name}]", group)
    elif isinstance(value, dict):
        group = value if "rayStartParams" in value else group
        for key, item in value.items():
            if isinstance(item, dict) and isinstance(item.get("spec"), dict) and "containers" in item["spec"]:
                yield f"{path}.{key}".lstrip("."), item, group
            else:
                yield from _templates(item, f"{path}.{key}", group)
