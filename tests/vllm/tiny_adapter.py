"""LoRA adapters with random weights, for a tiny checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import Qwen2_5_VLForConditionalGeneration

LANGUAGE = r".*language_model.*\.(q_proj|v_proj|o_proj)"
VISION = r".*visual\.blocks.*\.(qkv|proj)"


def write_adapter(folder: Path, checkpoint: Path, seed: int, modules: str = LANGUAGE, rank: int = 8) -> Path:
    """An adapter in PEFT's format that changes the modules whose names match ``modules``."""
    torch.manual_seed(seed)
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32)
    adapted = get_peft_model(model, LoraConfig(r=rank, lora_alpha=4 * rank, target_modules=modules))
    for name, weight in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.3)
    adapted.save_pretrained(folder)
    return folder
