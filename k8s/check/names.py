"""What no schema knows: the commands in containers, and names that Kubernetes takes as they come."""

from __future__ import annotations

import importlib.util
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

from k8s.check.pods import Pod, pods
from k8s.check.schemas import Manifest
from personavlm.platform.cli import parser

_NAMED = (
    "labels",
    "annotations",
    "matchLabels",
    "nodeSelector",
    "resources",
    "requests",
    "limits",
    "rayStartParams",
)


def problems(manifests: Sequence[Manifest], known: Path) -> Iterator[str]:
    """Commands that cannot be, and names that are not in the file ``known``: one a line, after # a remark."""
    lines = (line.partition("#")[0].strip() for line in known.read_text(encoding="utf-8").splitlines())
    names = set(filter(None, lines))
    for manifest in manifests:
        where = f"{manifest['kind']}/{manifest['metadata']['name']}"
        for name in dict.fromkeys(_names(manifest)):
            if name not in names:
                yield f"{where}: {name!r} is not in {known}: is it a typo? If not, add it there"
        if manifest["kind"] == "RayJob":
            yield from (
                f"{where}: {problem}" for problem in _refused(shlex.split(manifest["spec"]["entrypoint"]))
            )
    for pod in pods(manifests):
        for command in commands(pod):
            yield from (f"{pod.where}: {problem}" for problem in _refused(command))


def commands(pod: Pod) -> list[list[str]]:
    """What the pod's containers run, hooks included, as words; a shell's line as its own words."""
    found = []
    for container in pod.containers:
        hook = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [])
        for words in ([*container.get("command", []), *container.get("args", [])], hook):
            if words[:2] == ["bash", "-c"]:
                words = shlex.split(words[2])
            if words:
                found.append(words)
    return found


def _refused(words: list[str]) -> Iterator[str]:
    line = shlex.join(words)
    if words[:3] == ["ray", "job", "submit"] and "--" in words:
        words = words[words.index("--") + 1 :]
    if words[0] == "personavlm":
        said = StringIO()
        try:
            with redirect_stderr(said):
                parser().parse_args(words[1:])
        except SystemExit:
            yield f"{line}: {said.getvalue().splitlines()[-1]}"
    elif words[:2] == ["python", "-m"]:
        if importlib.util.find_spec(f"{words[2]}.__main__") is None:
            yield f"{line}: {words[2]} is no job"
    else:
        yield f"{line}: neither `personavlm`, nor `python -m`, nor `ray job submit … --` one of them"


def _names(value: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON
    if isinstance(value, list):
        for item in value:
            yield from _names(item)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if key in _NAMED and isinstance(item, Mapping):
                yield from (name for name, each in item.items() if not isinstance(each, Mapping))
            elif key == "env" and isinstance(item, list):
                yield from (variable["name"] for variable in item)
            elif key == "tolerations":
                yield from (toleration["key"] for toleration in item)
            elif key == "matchExpressions":
                yield from (expression["key"] for expression in item)
            yield from _names(item)
