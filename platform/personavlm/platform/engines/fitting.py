"""What a checkpoint needs of a GPU: its weights, and room for the keys and values of conversations."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass

from personavlm.platform.engines.checkpoint import Checkpoint

GIB = 2**30
OVERHEAD = 3 * GIB
"""Of each GPU, for activations, graphs and the CUDA context: an estimate for models of this size."""
KEY_BYTES = 2  # of one number in the cache, bfloat16
DIVISIONS = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU of this machine."""

    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Fit:
    """A model divided over ``gpus`` GPUs: bytes of weights on each, and tokens that its cache then holds.

    ``cached_tokens`` is 0 where not even the weights have room.
    """

    gpus: int
    weight_bytes: int
    cached_tokens: int


def gpus_present() -> list[Gpu]:
    """What `nvidia-smi` says; none where there is no such command."""
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    told = subprocess.run(query, capture_output=True, text=True, check=False)
    lines = (line.rsplit(",", 1) for line in told.stdout.splitlines() if told.returncode == 0 and "," in line)
    return [Gpu(name.strip(), int(mib) * 2**20) for name, mib in lines]


def cache_bytes_per_token(checkpoint: Checkpoint) -> int:
    """Keys and values of all layers for one token, in bytes, in bfloat16."""
    text = checkpoint.config.text_config
    head = text.hidden_size // text.num_attention_heads
    return 2 * text.num_hidden_layers * text.num_key_value_heads * head * KEY_BYTES


def fits(checkpoint: Checkpoint, gpu: Gpu, share: float) -> list[Fit]:
    """Each way to divide the model's heads over GPUs like this one, of which ``share`` may be used."""
    heads = checkpoint.config.text_config.num_attention_heads
    found = []
    for count in DIVISIONS:
        if heads % count:
            continue
        weights = checkpoint.weight_bytes() // count
        room = gpu.bytes * share - OVERHEAD - weights
        # Heads of keys and values that are fewer than the GPUs are kept on several.
        kept = max(1, checkpoint.config.text_config.num_key_value_heads // count)
        per_token = (
            cache_bytes_per_token(checkpoint) * kept / checkpoint.config.text_config.num_key_value_heads
        )
        found.append(Fit(count, weights, max(0, int(room / per_token))))
    return found
