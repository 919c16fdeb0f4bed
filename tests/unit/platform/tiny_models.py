"""Complete checkpoints with random weights, made in a moment: they prove the plumbing, not the models."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

needs_train = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("torch", "transformers")),
    reason="needs torch and transformers, which the extra `train` installs",
)

_LAYERS = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
_WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "mug", "object", "blue", "cat")


def tiny_clip(folder: Path, seed: int = 0) -> Path:
    """CLIP with a joint space of 24 dimensions."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    torch.manual_seed(seed)
    text = {**_LAYERS, "vocab_size": 32, "max_position_embeddings": 8, "bos_token_id": 1, "eos_token_id": 2}
    vision = {**_LAYERS, "image_size": 32, "patch_size": 8}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)).save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32).save_pretrained(folder)
    return folder


def tiny_siglip(folder: Path) -> Path:
    """SigLIP, whose joint space is its hidden size, 16."""
    import torch
    from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel

    torch.manual_seed(0)
    text = {**_LAYERS, "vocab_size": 32, "max_position_embeddings": 8, "bos_token_id": 1, "eos_token_id": 2}
    vision = {**_LAYERS, "image_size": 32, "patch_size": 8}
    SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).save_pretrained(folder)
    SiglipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def tiny_grounding_dino(folder: Path) -> Path:
    """Grounding DINO on a one-layer Swin and BERT."""
    import torch
    from transformers import (
        BertTokenizerFast,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessorPil,
        GroundingDinoProcessor,
    )

    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join((*_WORDS, *"abcdefghijklmnopqrstuvwxyz")))
    tokenizer = BertTokenizerFast(vocab_file=str(folder / "vocab.txt"))
    GroundingDinoForObjectDetection(GroundingDinoConfig(**_dino())).save_pretrained(folder)
    images = GroundingDinoImageProcessorPil(size={"shortest_edge": 192, "longest_edge": 256})
    GroundingDinoProcessor(images, tokenizer).save_pretrained(folder)
    return folder


def _dino() -> dict[str, Any]:
    backbone = {
        "model_type": "swin", "image_size": 64, "patch_size": 4, "embed_dim": 8, "window_size": 4,
        "depths": [1, 1, 1, 1], "num_heads": [2, 2, 2, 2], "out_features": ["stage2", "stage3", "stage4"],
    }  # fmt: skip
    text = {**_LAYERS, "model_type": "bert", "vocab_size": 64, "max_position_embeddings": 256}
    return {
        "backbone_config": backbone, "text_config": text, "d_model": 32, "num_queries": 12,
        "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
        "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "num_feature_levels": 4, "max_text_len": 64,
    }  # fmt: skip
