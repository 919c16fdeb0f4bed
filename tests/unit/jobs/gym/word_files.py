"""The gym's checkpoint but for its weights, which only PyTorch could make."""

from __future__ import annotations

import json
from pathlib import Path

from personavlm.jobs.gym.tokenizer import word_tokenizer


def write_word_files(folder: Path) -> Path:
    """Tokenizer and settings, as `Checkpoint.open` reads them."""
    tokenizer = word_tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    text = {
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
    }
    config = {"architectures": ["Qwen2_5_VLForConditionalGeneration"], "text_config": text}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text("{}")
    return folder
