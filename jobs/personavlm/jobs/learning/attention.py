"""Attention within each of several sequences that lie behind one another, without padding between them.

On GPUs it is PyTorch's attention over sequences of unequal lengths (Flash Attention). Elsewhere, or in 32
bits, queries, keys and values of each sequence are put into rows padded on the right, where a causal mask
alone keeps real tokens from seeing padding. Everything else in the model works on the tokens as they lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

NAME = "personavlm_packed"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where sequences lie among the tokens. ``starts``: (sequences + 1,), in 32 bits.

    ``places``: (sequences, longest), the token at each place of the padded rows, 0 for padding.
    ``origins``: (tokens,), each token's place in the padded rows, counted through.
    """

    starts: Tensor
    longest: int
    places: Tensor
    origins: Tensor

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device) -> Layout:
        """The layout of sequences of these lengths."""
        starts = [0, *accumulate(lengths)]
        longest = max(lengths)
        places = torch.zeros(len(lengths), longest, dtype=torch.long)
        for row, (start, length) in enumerate(zip(starts, lengths, strict=False)):
            places[row, :length] = torch.arange(start, start + length)
        origins = torch.cat([torch.arange(n) + row * longest for row, n in enumerate(lengths)])
        counts = torch.tensor(starts, dtype=torch.int32)
        return cls(counts.to(device), longest, places.to(device), origins.to(device))


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    layout: Layout,
    **_: object,
) -> tuple[Tensor, None]:
    """Causal attention inside each sequence; query, key and value: (1, heads, tokens, size of a head).

    Returns (1, tokens, heads, size of a head), as transformers expects of an attention function.
    """
    q, k, v = (part[0].transpose(0, 1) for part in (query, key, value))
    if q.is_cuda and q.dtype in (torch.bfloat16, torch.float16):
        from torch.nn.attention.varlen import varlen_attn

        starts, longest = layout.starts, layout.longest
        mixed = varlen_attn(
            q, k, v, starts, starts, longest, longest,
            scale=scaling, window_size=(-1, 0), enable_gqa=q.shape[1] != k.shape[1],
        )  # fmt: skip
        return mixed[None], None
    rows = [part[layout.places].transpose(1, 2) for part in (q, k, v)]
    out = scaled_dot_product_attention(
        *rows, is_causal=True, scale=scaling, enable_gqa=q.shape[1] != k.shape[1]
    )
    return out.transpose(1, 2).flatten(0, 1)[layout.origins][None], None


AttentionInterface.register(NAME, packed_attention)
