"""`python -m k8s.check [FOLDER]`: each problem on a line of its own; status 1 where there are any."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from k8s.check import dashboards, dockerfile, names, policy, rendering, schemas, service
from k8s.check.schemas import Manifest
from personavlm.platform.errors import CommandError

ROOT = Path(__file__).parents[1]


def check(root: Path, chosen: Sequence[str] = ()) -> Iterator[str]:
    """Every problem of the folder ``root``, laid out as k8s/ is; of its overlays, those ``chosen``."""
    yield from dockerfile.problems(root / "Dockerfile", ROOT.parent)
    rendered: list[Manifest] = []
    for overlay in rendering.overlays(root):
        if chosen and overlay.relative_to(root / "overlays").parts[0] not in chosen:
            continue
        yield from service.drifted(overlay)
        try:
            manifests = rendering.build(overlay)
            builds = [manifests]
            if kinds := {manifest["kind"] for manifest in manifests} & {"RayService", "RayJob"}:
                builds.append(rendering.build_with_components(root, overlay, kinds))
        except rendering.RenderError as error:
            yield str(error)
            return
        for manifests in builds:
            rendered += manifests
            yield from (f"{overlay.relative_to(root)}: {problem}" for problem in _problems(root, manifests))
    yield from rendering.idle_patches(root, rendered) if not chosen else ()


def _problems(root: Path, manifests: Sequence[Manifest]) -> Iterator[str]:
    broken = False
    for manifest in manifests:
        for problem in schemas.problems(manifest):
            broken = True
            yield f"{manifest.get('kind')}/{manifest.get('metadata', {}).get('name')}: {problem}"
    if broken:  # what follows relies on the shapes
        return
    yield from policy.problems(manifests, (root / "README.md").read_text(encoding="utf-8"))
    yield from names.problems(manifests, root / "schemas" / "names.txt")
    yield from dashboards.problems(manifests, root / "schemas" / "metrics.txt")
    try:
        yield from service.problems(manifests)
        yield from service.training(manifests)
    except (CommandError, ValueError) as error:
        yield str(error)


def main(arguments: Sequence[str]) -> int:
    """Print the problems of a folder, ours by default."""
    root = Path(arguments[0]) if arguments else ROOT
    found = list(dict.fromkeys(check(root)))
    print("\n".join(found) or f"{root}: nothing wrong")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
