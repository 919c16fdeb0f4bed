"""What `personavlm doctor` looks at on this machine: versions, secrets, GPUs, keys, the checkpoint."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement
from pydantic import ValidationError

from personavlm.deployments.findings import Finding, ok, warning, wrong
from personavlm.deployments.keys import KeysFile
from personavlm.deployments.start_checks import missing_variables
from personavlm.platform.config import Config, ServiceConfig
from personavlm.platform.engine_config import TransformersEngineConfig, VllmEngineConfig
from personavlm.platform.engines.checkpoint import Checkpoint
from personavlm.platform.engines.fitting import GIB, gpus_present
from personavlm.platform.errors import CheckpointError

SHOWN = ("ray", "lancedb", "vllm", "torch")


def machine(config: Config) -> Iterator[Finding]:
    """Findings of this machine alone."""
    yield _versions(config)
    yield _secrets(config)
    yield from _gpus(config)
    yield _keys(config.service)
    if isinstance(config.engine, VllmEngineConfig | TransformersEngineConfig):
        yield _checkpoint(config.engine)


def _versions(config: Config) -> Finding:
    """Every requirement of the package, and of the extras that the configuration calls for."""
    extras = _extras(config)
    problems = []
    for line in requires("personavlm") or []:
        needed = Requirement(line)
        if needed.marker and not any(needed.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            continue
        installed = _installed(needed.name)
        if installed is None or not needed.specifier.contains(installed, prereleases=True):
            problems.append(f"{needed.name} is {installed or 'missing'}, needed is {needed.specifier}")
    if problems:
        wanted = f"[{','.join(extras)}]" if extras else ""
        remedy = f"pip install 'personavlm{wanted}=={version('personavlm')}' in an environment of its own"
        return wrong("versions", "; ".join(problems), remedy)
    shown = [f"{name} {found}" for name in SHOWN if (found := _installed(name))]
    return ok(
        "versions",
        f"personavlm {version('personavlm')}, Python {platform.python_version()}, {', '.join(shown)}",
    )


def _extras(config: Config) -> list[str]:
    wanted = {
        "vllm": config.engine.kind == "vllm",
        "train": config.engine.kind == "transformers",
        "s3": config.memory.is_remote,
        "otel": config.service.otlp_endpoint is not None,
    }
    return [extra for extra, needed in wanted.items() if needed]


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _secrets(config: Config) -> Finding:
    if missing := missing_variables(config):
        return wrong("secrets", "; ".join(missing), "set the variable (a secretKeyRef), or drop the field")
    return ok("secrets", "every variable that the configuration names is set")


def _gpus(config: Config) -> Iterator[Finding]:
    """GPUs of this machine; those of a cluster are its nodes' business."""
    gpus = gpus_present()
    shown = ", ".join(f"{gpu.name} ({gpu.bytes / GIB:.0f} GiB)" for gpu in gpus) or "none here"
    asked = config.policy.gpus * config.policy.least_replicas
    if config.ray_address is None and asked > len(gpus):
        yield wrong(
            "GPUs",
            f"policy asks for {asked:g}, found: {shown}",
            "lower policy.gpus or policy.replicas, set ray_address to a cluster with GPUs, or look at "
            "`nvidia-smi`: without a driver no GPU is seen",
        )
    else:
        yield ok("GPUs", f"{shown}; policy asks for {asked:g}")


def _keys(service: ServiceConfig) -> Finding:
    make = "`personavlm keys create --tenant NAME` makes one"
    try:
        content = KeysFile.model_validate_json(service.keys_file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return wrong("keys", f"{service.keys_file} does not exist: nobody is admitted", make)
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        return wrong("keys", f"{service.keys_file}: {reason}", f"restore the file; {make}")
    if not content.keys:
        return wrong("keys", f"{service.keys_file} holds no key", make)
    tenants = len({key.tenant for key in content.keys})
    if service.keys_file.stat().st_mode & 0o022:
        return warning("keys", f"others may write {service.keys_file}", f"chmod go-w {service.keys_file}")
    return ok("keys", f"{len(content.keys)} of {tenants} tenants")


def _checkpoint(engine: VllmEngineConfig | TransformersEngineConfig) -> Finding:
    try:
        checkpoint = Checkpoint.open(engine.model)
        checkpoint.require_context(engine.context_tokens)
        if not checkpoint.weight_bytes():
            raise CheckpointError(f"{checkpoint.path} has no weights in the form of safetensors")
    except CheckpointError as error:
        return wrong("checkpoint", str(error), f"`personavlm models check {engine.model}` says what it needs")
    return ok("checkpoint", f"{checkpoint.path}, {checkpoint.weight_bytes() / GIB:.1f} GiB")
