"""Sequences as the tensors that the model takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from personavlm.jobs.learning.attention import Layout
from personavlm.jobs.learning.pixels import Pictures
from personavlm.jobs.learning.sequences import TokenSequence

Positions = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From ids (tokens,), kinds (tokens,) and grids (images, 3) to mRoPE positions (3, tokens)."""


@dataclass(frozen=True, slots=True)
class Pack:
    """Sequences behind one another, on a device.

    ``ids``: (tokens,). ``positions``: (3, tokens), from 0 in each sequence. ``targets``: (n,), the tokens to
    predict, each from the one before it; ``rows``: (n,), the sequence of each. ``pixels``: (patches, values)
    and ``grids``: (images, 3), both absent where there is no image.
    """

    ids: Tensor
    positions: Tensor
    layout: Layout
    targets: Tensor
    rows: Tensor
    pixels: Tensor | None
    grids: Tensor | None


def collate(
    sequences: Sequence[TokenSequence],
    pictures: Pictures,
    positions: Positions,
    device: torch.device,
) -> Pack:
    """One pack. Without sequences it is one token that nothing is learned from, to keep step with others."""
    sequences = sequences or [TokenSequence((pictures.checkpoint.end,), ())]
    read = [pictures.read(sequence.images) if sequence.images else None for sequence in sequences]
    placed = [_positions(one, found, pictures, positions) for one, found in zip(sequences, read, strict=True)]
    layout = Layout.of([len(sequence) for sequence in sequences], device)
    starts = layout.starts.tolist()
    targets = [at + start for one, start in zip(sequences, starts, strict=False) for at in one.targets]
    rows = [row for row, one in enumerate(sequences) for _ in one.targets]
    images = [found for found in read if found is not None]
    return Pack(
        ids=torch.tensor([token for one in sequences for token in one.ids], device=device),
        positions=torch.cat(placed, dim=1).to(device),
        layout=layout,
        targets=torch.tensor(targets, dtype=torch.long, device=device),
        rows=torch.tensor(rows, dtype=torch.long, device=device),
        pixels=torch.cat([pixels for pixels, _ in images]).to(device) if images else None,
        grids=torch.cat([grids for _, grids in images]).to(device) if images else None,
    )


def _positions(
    sequence: TokenSequence, read: tuple[Tensor, Tensor] | None, pictures: Pictures, positions: Positions
) -> Tensor:
    if read is None:
        return torch.arange(len(sequence)).expand(3, -1)
    ids, grids = torch.tensor(sequence.ids), read[1]
    places = ids == pictures.checkpoint.special["<|image_pad|>"]
    merge = pictures.checkpoint.config.vision_config.spatial_merge_size
    features = int(grids.prod(dim=1).sum()) // merge**2
    if int(places.sum()) != features:
        raise RuntimeError(f"{int(places.sum())} places for image tokens, but {features} features")
    return positions(ids, places.long(), grids)
