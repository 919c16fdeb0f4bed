"""A small Qwen2.5-VL made from nothing, as a complete folder that every engine opens. Needs PyTorch.

A network of random weights copies a word that it has just read only after long training, and hardly learns at
all to answer with the letter of an option: what it lacks are heads that attend to an earlier place of the
same word (induction heads; Olsson et al., 2022). A pretrained model has them, and this one is given a start
towards them (`bind`), nothing of which is frozen. It belongs to beginning from nothing and to nothing else.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)

from personavlm.jobs.gym.network import BOUND, SMALL, Binding, Network
from personavlm.jobs.gym.tokenizer import word_tokenizer

POSITIONS = 4096
_IMAGES = {
    "image_processor_type": "Qwen2VLImageProcessor",
    "patch_size": 14,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "do_resize": True,
    "do_rescale": True,
    "do_normalize": True,
    "do_convert_rgb": True,
    "resample": 3,
    "rescale_factor": 1 / 255,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "size": {"shortest_edge": 56 * 56, "longest_edge": 28 * 28 * 64},
}
"""What of Qwen2.5-VL's published ``preprocessor_config.json`` decides how pixels reach the model."""


def write_checkpoint(
    folder: Path, seed: int = 0, network: Network = SMALL, binding: Binding | None = BOUND
) -> Path:
    """Write model, tokenizer and image processor's settings into ``folder``, which is made."""
    torch.manual_seed(seed)
    tokenizer = word_tokenizer()
    numbers = tokenizer.get_vocab(with_added_tokens=True)
    model = Qwen2_5_VLForConditionalGeneration(_config(network, numbers)).to(torch.float32)
    if binding is not None:
        bind(model, binding)
    model.generation_config = GenerationConfig(
        eos_token_id=[numbers["<|im_end|>"]], pad_token_id=numbers["<|endoftext|>"], do_sample=False
    )
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    ).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(_IMAGES), encoding="utf-8")
    return folder


@torch.no_grad()
def bind(model: Qwen2_5_VLForConditionalGeneration, binding: Binding) -> None:
    """Change the weights in place towards binding a word to what stood beside it."""
    text = model.model.language_model
    size = model.config.text_config.hidden_size // model.config.text_config.num_attention_heads
    _attend_to_previous(text.layers[0].self_attn, text.rotary_emb.inv_freq, size, binding.previous)
    if binding.same:
        _attend_to_same(text.layers[1].self_attn, model.config.text_config, size, binding)
    text.embed_tokens.weight *= binding.embeddings
    for layer in text.layers:
        layer.self_attn.o_proj.weight *= binding.branches
        layer.mlp.down_proj.weight *= binding.branches


FREQUENCIES = 4
"""Fastest rotary frequencies that the head of the word before uses: they tell neighbours apart."""


def _attend_to_previous(
    attention: torch.nn.Module, inverse: torch.Tensor, size: int, strength: float
) -> None:
    """The query is the key's constant turned on by one place: they meet where one place lies between."""
    if not strength:
        return
    attention.q_proj.weight[:size] = 0
    attention.k_proj.weight[:size] *= 0.1
    attention.q_proj.bias[:size] = 0
    attention.k_proj.bias[:size] = 0
    for i in range(FREQUENCIES):
        angle = float(inverse[i])
        attention.k_proj.bias[i] = strength
        attention.q_proj.bias[i] = strength * math.cos(angle)
        attention.q_proj.bias[i + size // 2] = -strength * math.sin(angle)


def _attend_to_same(
    attention: torch.nn.Module, config: Qwen2_5_VLConfig, size: int, binding: Binding
) -> None:
    group = config.num_attention_heads // config.num_key_value_heads
    for head in range(min(binding.same_heads, config.num_attention_heads)):
        keys = attention.k_proj.weight[(head // group) * size : (head // group + 1) * size]
        attention.q_proj.weight[head * size : (head + 1) * size] = binding.same * keys


def _config(network: Network, numbers: dict[str, int]) -> Qwen2_5_VLConfig:
    half = network.hidden // network.heads // 2
    third = half // 3
    text = {
        "vocab_size": len(numbers),
        "hidden_size": network.hidden,
        "intermediate_size": network.feed_forward,
        "num_hidden_layers": network.layers,
        "num_attention_heads": network.heads,
        "num_key_value_heads": network.key_value_heads,
        "max_position_embeddings": POSITIONS,
        "max_window_layers": network.layers,
        "tie_word_embeddings": True,
        "initializer_range": network.initial,
        "rope_parameters": {
            "rope_type": "default",
            "type": "mrope",
            "rope_theta": network.theta,
            "mrope_section": [half - 2 * third, third, third],
        },
        "bos_token_id": numbers["<|endoftext|>"],
        "eos_token_id": numbers["<|im_end|>"],
        "pad_token_id": numbers["<|endoftext|>"],
    }
    vision = {
        "depth": network.vision_layers,
        "hidden_size": network.vision_hidden,
        "intermediate_size": 2 * network.vision_hidden,
        "num_heads": 2,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "window_size": 112,
        "fullatt_block_indexes": [network.vision_layers - 1],
        "out_hidden_size": network.hidden,
        "tokens_per_second": 2,
        "initializer_range": network.initial,
    }
    return Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        tie_word_embeddings=True,
        initializer_range=network.initial,
        image_token_id=numbers["<|image_pad|>"],
        video_token_id=numbers["<|video_pad|>"],
        vision_start_token_id=numbers["<|vision_start|>"],
        vision_end_token_id=numbers["<|vision_end|>"],
    )
