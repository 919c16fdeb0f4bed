"""Alert rules and dashboards: every metric that they name exists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from k8s.check.schemas import FOLDER, Manifest

_GROUPING = r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)"
_NO_METRIC = re.compile(rf"\{{[^{{}}]*\}}|{_GROUPING}|\"[^\"]*\"|\[[^\]]*\]")
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_WORDS = {"sum", "max", "min", "avg", "count", "rate", "increase", "histogram_quantile", "clamp_min"}
_WORDS |= {"absent", "and", "or", "unless"}
_LABELS = {
    "tenant",
    "status",
    "model",
    "route",
    "actor",
    "shard",
    "State",
    "Name",
    "Source",
    "le",
    "instance",
}


def problems(manifests: Sequence[Manifest], known: Path) -> Iterator[str]:
    """Metrics and labels that are not in the file ``known`` or not ours, and dashboards of a wrong shape."""
    names = {line for line in known.read_text(encoding="utf-8").split() if line}
    for manifest in manifests:
        where = f"{manifest['kind']}/{manifest['metadata']['name']}"
        for expression in expressions(manifest):
            yield from (f"{where}: {problem}" for problem in _unknown(expression, names))
        for dashboard in _dashboards(manifest):
            schema = json.loads((FOLDER / "grafana.json").read_text(encoding="utf-8"))
            for error in Draft202012Validator(schema).iter_errors(dashboard):
                yield f"{where}: {'.'.join(map(str, error.absolute_path))}: {error.message[:300]}"


def expressions(manifest: Manifest) -> Iterator[str]:
    """What a PrometheusRule or the dashboards in a ConfigMap ask Prometheus."""
    if manifest["kind"] == "PrometheusRule":
        for group in manifest["spec"]["groups"]:
            yield from (rule["expr"] for rule in group["rules"])
    for dashboard in _dashboards(manifest):
        yield from _asked(dashboard)


def metrics(expression: str) -> set[str]:
    """The series that an expression names."""
    return set(_NAME.findall(_NO_METRIC.sub(" ", expression))) - _WORDS


def _unknown(expression: str, names: set[str]) -> Iterator[str]:
    if expression.count("(") != expression.count(")"):
        yield f"{expression}: brackets do not match"
    yield from (f"{expression}: there is no metric {name}" for name in sorted(metrics(expression) - names))
    matched = re.findall(r"\{([^{}]*)\}", expression)
    labels = {name for text in matched for name in re.findall(r"(\w+)\s*[=!]", text)}
    labels |= {name for text in re.findall(_GROUPING, expression) for name in _NAME.findall(text)}
    yield from (f"{expression}: there is no label {label}" for label in sorted(labels - _LABELS))


def _dashboards(manifest: Manifest) -> Iterator[Any]:
    if manifest["kind"] == "ConfigMap" and "grafana_dashboard" in manifest["metadata"].get("labels", {}):
        yield from (json.loads(text) for text in manifest["data"].values())


def _asked(value: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON
    if isinstance(value, list):
        for item in value:
            yield from _asked(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "expr":
                yield item
            else:
                yield from _asked(item)
