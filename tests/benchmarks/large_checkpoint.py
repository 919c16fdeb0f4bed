"""A checkpoint of the sizes of Qwen2.5-VL-7B with random weights and the tests' small tokenizer."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from tests.tiny_checkpoint import write_checkpoint

TEXT = dict(
    vocab_size=152_064, hidden_size=3584, intermediate_size=18_944, num_attention_heads=28,
    num_key_value_heads=4, max_position_embeddings=128_000, tie_word_embeddings=False,
    rope_parameters=dict(rope_type="default", type="mrope", rope_theta=1e6, mrope_section=[16, 24, 24]),
)  # fmt: skip
VISION = dict(
    depth=32, hidden_size=1280, intermediate_size=3420, num_heads=16, patch_size=14, spatial_merge_size=2,
    temporal_patch_size=2, window_size=112, fullatt_block_indexes=[7, 15, 23, 31], out_hidden_size=3584,
    tokens_per_second=2,
)  # fmt: skip


def write_large_checkpoint(folder: Path, layers: int) -> Path:
    """Sizes as in the published ``config.json`` of Qwen2.5-VL-7B-Instruct; ``layers`` of its 28."""
    write_checkpoint(folder)  # for its tokenizer and image processor
    small = Qwen2_5_VLConfig.from_pretrained(folder)
    config = Qwen2_5_VLConfig(
        text_config=TEXT | {"num_hidden_layers": layers, "max_window_layers": layers},
        vision_config=VISION, tie_word_embeddings=False, image_token_id=small.image_token_id,
        video_token_id=small.video_token_id, vision_start_token_id=small.vision_start_token_id,
        vision_end_token_id=small.vision_end_token_id,
    )  # fmt: skip
    torch.set_default_dtype(torch.bfloat16)
    try:
        Qwen2_5_VLForConditionalGeneration(config).save_pretrained(folder)
    finally:
        torch.set_default_dtype(torch.float32)
    return folder
