"""A Qwen2.5-VL checkpoint of random weights, complete and small: 0.7 million parameters. Needs PyTorch.

``python -m tests.tiny_checkpoint FOLDER`` writes one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from itertools import pairwise
from math import log
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)

from tests.tiny_tokenizer import SPECIAL, tiny_tokenizer

HIDDEN, HEADS, LAYERS = 128, 4, 2
CERTAIN = 40.0  # a logit beside which the others, all near 0, do not count
KEYWORDS = '{"keywords": "tea"}'
TEMPLATE = (
    "{%- if messages[0]['role'] != 'system' -%}"
    "{{- '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' -}}{%- endif -%}"
    "{%- for m in messages -%}{{- '<|im_start|>' + m['role'] + '\n' -}}"
    "{%- if m['content'] is string -%}{{- m['content'] -}}{%- else -%}{%- for c in m['content'] -%}"
    "{%- if c['type'] in ('image', 'image_url') -%}{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}"
    "{%- else -%}{{- c['text'] -}}{%- endif -%}{%- endfor -%}{%- endif -%}{{- '<|im_end|>\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)


def write_checkpoint(folder: Path, seed: int = 0, *, tied: bool = True, positions: int = 4096) -> Path:
    """A checkpoint in ``folder``; another ``seed`` gives other weights of the same shape."""
    tokenizer = tiny_tokenizer()
    return _save(folder, tokenizer, _model(tokenizer, seed, tied=tied, positions=positions))


def _model(
    tokenizer: Tokenizer, seed: int, *, tied: bool, positions: int
) -> Qwen2_5_VLForConditionalGeneration:
    torch.manual_seed(seed)
    config = _config(tokenizer, tied, positions)
    return Qwen2_5_VLForConditionalGeneration(config).to(torch.float32).eval()


def _save(folder: Path, tokenizer: Tokenizer, model: Qwen2_5_VLForConditionalGeneration) -> Path:
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL), clean_up_tokenization_spaces=False,
    )  # fmt: skip
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    model.generation_config = GenerationConfig(
        eos_token_id=[tokenizer.token_to_id("<|im_end|>"), tokenizer.token_to_id("<|endoftext|>")],
        pad_token_id=tokenizer.token_to_id("<|endoftext|>"),
        do_sample=False,
    )
    model.save_pretrained(folder)
    _write_processor(folder)
    return folder


def write_talking_checkpoint(
    folder: Path, words: Sequence[str], again: float = 0.0, search: float = 0.0
) -> Path:
    """A checkpoint that speaks the grammar: ``<think>so</think><answer>``, then ``words`` in this order.

    After the last word it begins again with probability ``again``. Instead of answering it retrieves with
    probability ``search``. Attention and layers add nothing, so the next id depends on the newest alone:
    the head maps each embedding to its successors (a bigram model).
    """
    steps = {"\n": {"<think>": 1.0}, "<think>": {"so": 1.0}, "so": {"</think>": 1.0}}
    steps["</think>"] = {"<answer>": 1 - search, "<retrieve>": search}
    steps |= {
        "<retrieve>": {KEYWORDS: 1.0},
        KEYWORDS: {"</retrieve>": 1.0},
        "</retrieve>": {"<|im_end|>": 1.0},
    }
    steps |= {"<answer>": {words[0]: 1.0}, "</answer>": {"<|im_end|>": 1.0}}
    steps |= {word: {after: 1.0} for word, after in pairwise(words)}
    steps[words[-1]] = {words[0]: again, "</answer>": 1 - again}
    tokenizer = tiny_tokenizer(spoken=tuple(dict.fromkeys([*steps, *words])))
    model = _model(tokenizer, seed=0, tied=False, positions=4096)
    for name, weight in model.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")) and "visual" not in name:
            torch.nn.init.zeros_(weight)
    embeddings, head = model.get_input_embeddings().weight, model.lm_head.weight
    with torch.no_grad():
        directions = torch.nn.functional.normalize(torch.randn(embeddings.shape), dim=-1)
        embeddings.copy_(directions * HIDDEN**0.5)
        head.zero_()
        for word, successors in steps.items():
            for successor, probability in successors.items():
                if probability:
                    logit = CERTAIN + log(probability)
                    head[_id(tokenizer, successor)] += directions[_id(tokenizer, word)] * logit / HIDDEN**0.5
    return _save(folder, tokenizer, model)


def _id(tokenizer: Tokenizer, word: str) -> int:
    ids: list[int] = tokenizer.encode(word, add_special_tokens=False).ids
    assert len(ids) == 1, f"{word!r} is more than one id"
    return ids[0]


def _config(tokenizer: Tokenizer, tied: bool, positions: int) -> Qwen2_5_VLConfig:
    number = tokenizer.token_to_id
    half = HIDDEN // HEADS // 2
    sections = [half - 2 * (3 * half // 8), 3 * half // 8, 3 * half // 8]
    rows = (
        -(-tokenizer.get_vocab_size() // 64) * 64 + 64
    )  # some rows pad the vocabulary, as in the real model
    text = dict(
        vocab_size=rows, hidden_size=HIDDEN, intermediate_size=3 * HIDDEN, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=2, max_position_embeddings=positions,
        max_window_layers=LAYERS, tie_word_embeddings=tied, initializer_range=0.2,
        rope_parameters=dict(rope_type="default", type="mrope", rope_theta=1e6, mrope_section=sections),
        bos_token_id=number("<|endoftext|>"), eos_token_id=number("<|im_end|>"),
        pad_token_id=number("<|endoftext|>"),
    )  # fmt: skip
    vision = dict(
        depth=2, hidden_size=64, intermediate_size=128, num_heads=4, patch_size=14,
        spatial_merge_size=2, temporal_patch_size=2, window_size=112, fullatt_block_indexes=[1],
        out_hidden_size=HIDDEN, tokens_per_second=2,
    )  # fmt: skip
    return Qwen2_5_VLConfig(
        text_config=text, vision_config=vision, tie_word_embeddings=tied,
        image_token_id=number("<|image_pad|>"), video_token_id=number("<|video_pad|>"),
        vision_start_token_id=number("<|vision_start|>"), vision_end_token_id=number("<|vision_end|>"),
    )  # fmt: skip


def _write_processor(folder: Path) -> None:
    shared = dict(
        patch_size=14, temporal_patch_size=2, merge_size=2, do_resize=True, do_rescale=True,
        do_normalize=True, do_convert_rgb=True, resample=3, rescale_factor=1 / 255,
        image_mean=[0.48145466, 0.4578275, 0.40821073], image_std=[0.26862954, 0.26130258, 0.27577711],
        size={"shortest_edge": 28 * 28 * 4, "longest_edge": 28 * 28 * 64},
        processor_class="Qwen2_5_VLProcessor",
    )  # fmt: skip
    image = shared | {"image_processor_type": "Qwen2VLImageProcessor"}
    video = shared | {
        "video_processor_type": "Qwen2VLVideoProcessor",
        "min_frames": 4,
        "max_frames": 16,
        "fps": 2,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(image))
    (folder / "video_preprocessor_config.json").write_text(json.dumps(video))
    config = folder / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"processor_class": "Qwen2_5_VLProcessor"}))


if __name__ == "__main__":
    print(write_checkpoint(Path(sys.argv[1])))
