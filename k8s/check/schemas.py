"""Manifests against the schemas of their kinds: KubeRay's, Kubernetes' own, the Prometheus operator's."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

FOLDER = Path(__file__).parents[1] / "schemas"
KUBERAY = FOLDER / "kuberay.json"
MONITORING = FOLDER / "monitoring.json"
KUBERNETES = "v1.37.0-local-strict"
Manifest = Mapping[str, Any]


def problems(manifest: Manifest) -> Iterator[str]:
    """Everything in which a manifest breaks its schema; unknown fields and kinds among it."""
    validator = _validator(str(manifest.get("apiVersion")), str(manifest.get("kind")))
    if validator is None:
        yield f"there is no schema for {manifest.get('apiVersion')} {manifest.get('kind')}"
        return
    for error in validator.iter_errors(manifest):
        yield f"{'.'.join(map(str, error.absolute_path)) or 'the document'}: {error.message[:300]}"


@cache
def _validator(api: str, kind: str) -> Draft202012Validator | None:
    group, _, version = api.rpartition("/")
    if group in ("ray.io", "monitoring.coreos.com"):
        file = KUBERAY if group == "ray.io" else MONITORING
        schemas = json.loads(file.read_text(encoding="utf-8"))
        if version != "v1" or kind not in schemas["kinds"]:
            return None
        schema = {**schemas["kinds"][kind], "$defs": schemas["$defs"]}
        schema["properties"] = {**schema["properties"], "metadata": {"$ref": _core_uri("objectmeta-meta-v1")}}
        return Draft202012Validator(schema, registry=_registry())
    name = f"{kind}-{group.partition('.')[0]}-{version}" if group else f"{kind}-{version}"
    file = _core_folder() / f"{name.lower()}.json"
    if not file.exists():
        return None
    return Draft202012Validator(json.loads(file.read_text(encoding="utf-8")), registry=_registry())


@cache
def _registry() -> Registry[Any]:
    definitions = json.loads((_core_folder() / "_definitions.json").read_text(encoding="utf-8"))
    meta = json.loads((_core_folder() / "objectmeta-meta-v1.json").read_text(encoding="utf-8"))
    return Resource.from_contents(meta) @ (Resource.from_contents(definitions) @ Registry())


def _core_uri(name: str) -> str:
    schema: dict[str, Any] = json.loads((_core_folder() / f"{name}.json").read_text(encoding="utf-8"))
    return str(schema["$id"])


@cache
def _core_folder() -> Path:
    """Kubernetes' schemas, of the package `kubernetes-validate`, whose own code reads them anew each time."""
    found = importlib.util.find_spec("kubernetes_validate")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("kubernetes-validate is not installed: make k8s-check installs it")
    return Path(found.submodule_search_locations[0], "kubernetes-json-schema", KUBERNETES)
