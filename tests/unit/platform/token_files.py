"""A checkpoint folder without weights: all that a token engine reads before it loads anything."""

from __future__ import annotations

import json
from pathlib import Path

from tests.tiny_tokenizer import tiny_tokenizer

CONFIG = {
    "architectures": ["Qwen2_5_VLForConditionalGeneration"],
    "text_config": {
        "vocab_size": 640, "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 4096,
    },
    "vision_config": {"patch_size": 14, "spatial_merge_size": 2},
}  # fmt: skip


def write_files(folder: Path) -> Path:
    """``config.json``, ``tokenizer.json`` and ``preprocessor_config.json``."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "preprocessor_config.json").write_text("{}")
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    return folder
