"""The manifests as `kubectl kustomize` renders them: every overlay, alone and with every component."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from k8s.check.schemas import Manifest

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class RenderError(Exception):
    """Kustomize refuses a folder, or is not there."""


def overlays(root: Path) -> list[Path]:
    """The folders that are applied."""
    files = sorted((root / "overlays").rglob("kustomization.yaml"))
    return [file.parent for file in files if _kustomization(file)["kind"] == "Kustomization"]


def components(root: Path) -> list[Path]:
    """The folders of options."""
    return [file.parent for file in sorted((root / "components").rglob("kustomization.yaml"))]


def build(folder: Path) -> list[Manifest]:
    """What a folder renders to. RenderError."""
    kubectl, kustomize = shutil.which("kubectl"), shutil.which("kustomize")
    if not kubectl and not kustomize:
        raise RenderError("neither kubectl nor kustomize is installed; install one of them")
    command = [kubectl, "kustomize"] if kubectl else [str(kustomize), "build"]
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True)
    if done.returncode:
        raise RenderError(f"{folder}: {done.stderr.strip()}")
    return [each for each in yaml.load_all(done.stdout, LOADER) if each]


def build_with_components(root: Path, overlay: Path, kinds: set[str]) -> list[Manifest]:
    """An overlay that renders to these kinds with all components that it does not take and that fit it."""
    own = _kustomization(overlay / "kustomization.yaml")
    taken = {(overlay / each).resolve() for each in own.get("components", ())}
    rest = [each for each in components(root) if each.resolve() not in taken and _fits(each, kinds)]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place).resolve()
        content = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [os.path.relpath(overlay.resolve(), folder)],
            "images": own.get("images", []),
            "components": [os.path.relpath(each.resolve(), folder) for each in rest],
        }
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(content))
        return build(folder)


def _fits(component: Path, kinds: set[str]) -> bool:
    """Whether a component changes something of these kinds; one that only adds belongs to the service."""
    patches = _kustomization(component / "kustomization.yaml").get("patches")
    chosen = [patch.get("target", {}).get("kind", "RayService") for patch in patches or [{}]]
    return any(kind in kinds for kind in chosen)


def idle_patches(root: Path, rendered: Sequence[Manifest]) -> Iterator[str]:
    """Patches whose target is in no rendering: Kustomize says nothing of them."""
    known = {(each["kind"], each["metadata"]["name"]) for each in rendered}
    for file in sorted(root.rglob("kustomization.yaml")):
        for patch in _kustomization(file).get("patches", ()):
            target = patch.get("target", {})
            renames = patch.get("options", {}).get("allowNameChange", False)
            if (
                target
                and not renames
                and not any(
                    kind == target.get("kind", kind) and name == target.get("name", name)
                    for kind, name in known
                )
            ):
                yield f"{file}: nothing is a {target}"


def _kustomization(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.load(file.read_text(encoding="utf-8"), LOADER)
    return content
