"""`personavlm models check`: what a checkpoint is, what it needs, and how it would be served."""

from __future__ import annotations

import argparse
from importlib.util import find_spec

import yaml
from rich.console import Console
from rich.table import Table

from personavlm.platform.config import ConfigError
from personavlm.platform.engine_config import VllmEngineConfig
from personavlm.platform.engines.checkpoint import Checkpoint
from personavlm.platform.engines.fitting import GIB, Fit, Gpu, cache_bytes_per_token, fits, gpus_present
from personavlm.platform.errors import CheckpointError

OPTIONAL = {
    "chat_template.jinja": "not needed: conversations are written in ChatML",
    "generation_config.json": "not needed: sampling is this service's business",
}


def run(args: argparse.Namespace) -> None:
    """Load all but the weights and say what was found. Raises `ConfigError` where it cannot be served."""
    try:
        checkpoint = Checkpoint.open(args.model)
        if not checkpoint.weight_bytes():
            raise CheckpointError(f"{checkpoint.path} has no weights in the form of safetensors")
    except CheckpointError as error:
        raise ConfigError(str(error)) from error
    settings = VllmEngineConfig(kind="vllm", model=args.model)
    console = Console(soft_wrap=True)
    console.print(_facts(checkpoint, settings))
    gpus = gpus_present()
    for gpu in dict.fromkeys(gpus):
        console.print(_fits(checkpoint, gpu, gpus.count(gpu), settings))
    if not gpus:
        console.print("No GPU here: `kind: transformers` runs small models on the CPU.")
    _missing(console)
    suggested = {"engine": _suggested(checkpoint, settings, gpus)}
    console.print(yaml.safe_dump(suggested, sort_keys=False), markup=False)


def _facts(checkpoint: Checkpoint, settings: VllmEngineConfig) -> Table:
    text = checkpoint.config.text_config
    table = Table(title=str(checkpoint.path), show_header=False)
    table.add_row("version", checkpoint.version())
    kind = checkpoint.config.dtype or "unnamed type"
    table.add_row("weights", f"{checkpoint.weight_bytes() / GIB:.2f} GiB, {kind}")
    table.add_row("language model", f"{text.num_hidden_layers} layers of {text.hidden_size}")
    table.add_row("longest conversation", f"{text.max_position_embeddings:,} tokens")
    table.add_row("cache", f"{cache_bytes_per_token(checkpoint) / 1024:.0f} KiB a token in bfloat16")
    tokens = settings.max_pixels // checkpoint.patch_pixels**2
    table.add_row("an image", f"at most {tokens} tokens ({settings.max_pixels:,} pixels)")
    table.add_row("vocabulary", f"{text.vocab_size:,} rows, {len(checkpoint.banned())} of them never sampled")
    for name, why in OPTIONAL.items():
        table.add_row(name, "there" if (checkpoint.path / name).is_file() else f"missing, {why}")
    return table


def _fits(checkpoint: Checkpoint, gpu: Gpu, count: int, settings: VllmEngineConfig) -> Table:
    table = Table(
        "tensor_parallel", "weights, GiB each", "cached tokens", "conversations of full length",
        title=f"{count} x {gpu.name}, {gpu.bytes / GIB:.0f} GiB, {settings.gpu_memory:.0%} of it used",
    )  # fmt: skip
    for fit in fits(checkpoint, gpu, settings.gpu_memory):
        if fit.gpus <= count:
            longest = _context(checkpoint, settings)
            cached = f"{fit.cached_tokens:,}" if fit.cached_tokens else "no room"
            weights = f"{fit.weight_bytes / GIB:.2f}"
            table.add_row(str(fit.gpus), weights, cached, str(fit.cached_tokens // longest))
    return table


def _missing(console: Console) -> None:
    needed = {"vllm": "vllm", "transformers": "train", "torch": "train"}
    for module, extra in needed.items():
        if find_spec(module) is None:
            console.print(f"{module} is not installed here: pip install 'personavlm[{extra}]'", markup=False)


def _context(checkpoint: Checkpoint, settings: VllmEngineConfig) -> int:
    return min(settings.context_tokens, checkpoint.config.text_config.max_position_embeddings)


def _suggested(checkpoint: Checkpoint, settings: VllmEngineConfig, gpus: list[Gpu]) -> dict[str, object]:
    """The section `engine`: on as few GPUs as give a conversation of full length its room."""
    context = _context(checkpoint, settings)
    if not gpus:
        return {"kind": "transformers", "model": settings.model, "context_tokens": context}
    roomy: list[Fit] = [
        fit for fit in fits(checkpoint, gpus[0], settings.gpu_memory)
        if fit.gpus <= len(gpus) and fit.cached_tokens >= context
    ]  # fmt: skip
    count = roomy[0].gpus if roomy else len(gpus)
    return {"kind": "vllm", "model": settings.model, "context_tokens": context, "tensor_parallel": count}
