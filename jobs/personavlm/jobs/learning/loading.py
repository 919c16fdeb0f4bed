"""Checkpoints to policies, and weights of policies under the names that checkpoints use."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import Qwen2_5_VLForConditionalGeneration

from personavlm.jobs.learning.attention import NAME
from personavlm.jobs.learning.config import LoraConfig, PolicyConfig
from personavlm.jobs.learning.policy import Policy
from personavlm.platform.engines.checkpoint import Checkpoint
from personavlm.platform.errors import CheckpointError, CommandError

LORA_NAME = "default"  # what peft calls the only adapter
_IN_MODEL = (("model.language_model.", "model."), ("model.visual.", "visual."))


def load_policy(checkpoint: Checkpoint, config: PolicyConfig) -> Policy:
    """The model on the CPU, its parts frozen or not as configured. Raises `CheckpointError`.

    What is trained is kept in 32 bits; what is frozen in the precision of the computation.
    """
    model = _load(checkpoint, getattr(torch, config.precision))
    if config.lora:
        _add_lora(model, config.lora)  # which freezes everything else
    model.model.visual.requires_grad_(config.train_vision)
    model.model.visual.merger.requires_grad_(config.train_merger)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return Policy(model, checkpoint.banned())


def load_reference(checkpoint: Checkpoint, policy: Checkpoint, config: PolicyConfig) -> Policy:
    """A frozen policy to compare with. Raises `CheckpointError` where it is another kind of model."""
    if checkpoint.config.model_copy(update={"dtype": None}) != policy.config.model_copy(
        update={"dtype": None}
    ):
        raise CheckpointError(
            f"the reference {checkpoint.path} has another architecture or other sizes than {policy.path}; "
            "use the checkpoint that training began with"
        )
    if checkpoint.tokenizer.get_vocab() != policy.tokenizer.get_vocab():
        raise CheckpointError(f"the reference {checkpoint.path} has another vocabulary than {policy.path}")
    model = _load(checkpoint, getattr(torch, config.precision)).requires_grad_(False)
    return Policy(model, checkpoint.banned())


def hugging_face_weights(
    parameters: dict[str, Tensor], config: PolicyConfig, checkpoint: Checkpoint
) -> dict[str, Tensor]:
    """A policy's whole parameters as a checkpoint holds them: its names, its precision, LoRA added in."""
    merged = _merged(parameters, config.lora) if config.lora else parameters
    dtype = getattr(torch, checkpoint.config.dtype or "bfloat16")
    return {_checkpoint_name(name): value.detach().to("cpu", dtype) for name, value in merged.items()}


def _load(checkpoint: Checkpoint, dtype: torch.dtype) -> Any:  # noqa: ANN401 - no types come with it
    try:
        model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
            checkpoint.path,
            dtype=dtype,
            attn_implementation={"": "sdpa", "text_config": NAME, "vision_config": "sdpa"},
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{checkpoint.path} cannot be loaded: {error}") from error
    if set(model.config.text_config.layer_types) != {"full_attention"}:
        raise CheckpointError(
            f"{checkpoint.path} uses sliding-window attention, which cannot be trained here"
        )
    return model


def _add_lora(model: Any, config: LoraConfig) -> None:  # noqa: ANN401
    try:
        from peft import LoraConfig as PeftConfig
        from peft import inject_adapter_in_model
    except ModuleNotFoundError as error:
        raise CommandError(
            "policy.lora needs peft: pip install 'personavlm[train]', or leave it out"
        ) from error
    names = "|".join(config.targets)
    inject_adapter_in_model(
        PeftConfig(
            r=config.rank,
            lora_alpha=config.alpha,
            target_modules=rf".*language_model\..*\.({names})",
        ),
        model,
        LORA_NAME,
    )


def _merged(parameters: dict[str, Tensor], config: LoraConfig) -> dict[str, Tensor]:
    merged: dict[str, Tensor] = {}
    for name, value in parameters.items():
        layer, base, last = name.partition(".base_layer")
        if ".lora_" in name:
            continue
        if base and last == ".weight":
            down = parameters[f"{layer}.lora_A.{LORA_NAME}.weight"].float()
            up = parameters[f"{layer}.lora_B.{LORA_NAME}.weight"].float()
            value = value.float() + up @ down * (config.alpha / config.rank)
        merged[layer + last] = value
    return merged


def _checkpoint_name(name: str) -> str:
    for inside, outside in _IN_MODEL:
        if name.startswith(inside):
            return outside + name.removeprefix(inside)
    return name
