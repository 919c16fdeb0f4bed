"""`personavlm k8s render`: from the configuration to the part of a RayService that Ray Serve reads.

The manifest carries the whole configuration, so that a change of it is a change of `serveConfigV2`, which
KubeRay hands to the running cluster: replicas are replaced one after the other, and no pod is.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import yaml

from personavlm.platform.config import Config
from personavlm.platform.errors import CommandError

IMPORT_PATH = "personavlm.deployments.on_cluster:application"
NAME = "personavlm"
_SECRET = re.compile(r"secret|token|password|access_key", re.IGNORECASE)


class ManifestError(CommandError):
    """A configuration that cannot be served on Kubernetes, or a manifest that says something else."""


class _Readable(yaml.SafeDumper):
    """Texts of several lines as blocks."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Readable.add_representer(str, _text)


def render(source: Path, target: Path | None, *, only_check: bool) -> None:
    """Write the patch for Kustomize to ``target``, or to the standard output.

    With ``only_check``, raises `ManifestError` where ``target`` does not hold it already.
    """
    text = patch(source)
    if target is None:
        sys.stdout.write(text)
    elif not only_check:
        target.write_text(text, encoding="utf-8")
    elif not target.exists() or target.read_text(encoding="utf-8") != text:
        raise ManifestError(
            f"{target} is not what {source} says; write it anew: personavlm k8s render {source} --to {target}"
        )


def patch(source: Path) -> str:
    """The patch that gives the RayService its `serveConfigV2`. ConfigError, ManifestError."""
    config = Config.load(source)
    if problems := unfit(config):
        raise ManifestError("\n".join(f"{source}: {problem}" for problem in problems))
    serve = serve_config(config, yaml.safe_load(source.read_text(encoding="utf-8")))
    document = {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": NAME},
        "spec": {"serveConfigV2": _dump(serve)},
    }
    return f"# Made from {source.name} by `personavlm k8s render`; change that file.\n{_dump(document)}"


def serve_config(config: Config, args: object) -> dict[str, object]:
    """What Ray Serve is told; ``args`` is the configuration as it was written."""
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": config.service.host, "port": config.service.port},
        "logging_config": {"log_level": "WARNING"},
        "applications": [
            {"name": NAME, "route_prefix": "/", "import_path": IMPORT_PATH, "args": args},
        ],
    }


def unfit(config: Config) -> list[str]:
    """What keeps the configuration from working in pods, each with its remedy."""
    memory, service = config.memory, config.service
    problems = {
        "ray_address: the cluster is the one that KubeRay starts; leave it out": config.ray_address,
        "service.metrics_port: KubeRay chooses 8080; leave it out": service.metrics_port,
        "service.host: say 0.0.0.0, or neither probes nor clients reach the pods": service.host != "0.0.0.0",
        "service.keys_file: say where the Secret with the keys is mounted": (
            "keys_file" not in service.model_fields_set
        ),
        "memory.uri: name a bucket, or the folder where a persistent volume is mounted": (
            "uri" not in memory.model_fields_set
        ),
        "memory.release: name the service, such as its namespace, or another one could take its bucket": (
            memory.is_remote and memory.release is None
        ),
    }
    found = [problem for problem, holds in problems.items() if holds]
    return found + [
        f"memory.storage_options.{name}: credentials do not belong in manifests; set them from a Secret, as "
        "variables of the environment such as AWS_SECRET_ACCESS_KEY"
        for name in memory.storage_options
        if _SECRET.search(name)
    ]


def _dump(value: object) -> str:
    return yaml.dump(value, Dumper=_Readable, sort_keys=False, width=110, allow_unicode=True)
