"""The model that learns: Qwen2.5-VL over packs of sequences, giving log-probabilities of their targets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recomputed

from personavlm.jobs.learning.batches import Pack

HEAD_ROWS = 2048
"""Tokens whose logits are held at once; with 152,000 words, 1.2 GB in 32 bits."""


class Scores(NamedTuple):
    """Of a pack's targets, (n,), in nats: log-probability (with gradient) and entropy (without).

    A tuple, because FSDP looks for tensors in what a module returns, and not inside of dataclasses.
    """

    logprobs: Tensor
    entropies: Tensor


class Policy(nn.Module):
    """Qwen2.5-VL. Its `forward` is the one entrance, since wrappers that share the work hook into it.

    ``banned`` ids have no probability, as in the sampler. The model's ``rope_deltas``, what `generate` leaves
    behind, are never read: positions come with each pack.
    """

    def __init__(self, model: Any, banned: tuple[int, ...]) -> None:  # noqa: ANN401 - no types come with it
        super().__init__()
        self.model = model
        self.register_buffer("banned", torch.tensor(banned, dtype=torch.long), persistent=False)

    def positions(self, ids: Tensor, kinds: Tensor, grids: Tensor) -> Tensor:
        """mRoPE positions (3, tokens) of one sequence; ``kinds`` is 1 where an image's tokens are."""
        found, _ = self.model.model.get_rope_index(ids[None], kinds[None], image_grid_thw=grids)
        positions: Tensor = found[:, 0]
        return positions

    def forward(self, pack: Pack, temperature: float = 1.0, ban: bool = True) -> Scores:
        """Score the pack's targets. ``ban``: without banned ids, as sampled; otherwise over all ids."""
        hidden = self._hidden(pack)[pack.targets - 1]
        banned = self.banned if ban else self.banned[:0]
        parts = [self._score(hidden[at : at + HEAD_ROWS], pack.ids[pack.targets[at : at + HEAD_ROWS]],
                             temperature, banned)
                 for at in range(0, max(1, len(hidden)), HEAD_ROWS)]  # fmt: skip
        return Scores(torch.cat([one for one, _ in parts]), torch.cat([two for _, two in parts]))

    def _hidden(self, pack: Pack) -> Tensor:
        """The last layer's output, (tokens, size)."""
        backbone = self.model.model
        embedded = self._embedded(pack)
        out = backbone.language_model(
            inputs_embeds=embedded[None],
            position_ids=pack.positions[:, None],
            attention_mask={"full_attention": None},  # the layout says who sees whom
            layout=pack.layout,
            use_cache=False,
        )
        hidden: Tensor = out.last_hidden_state[0]
        return hidden

    def _embedded(self, pack: Pack) -> Tensor:
        embedded: Tensor = self.model.get_input_embeddings()(pack.ids)
        if pack.pixels is None:
            # Processes with and without images must run the same modules, or those with images wait forever.
            return embedded + 0 * self._features(*self._blank(embedded.device)).sum().to(embedded.dtype)
        features = self._features(pack.pixels, pack.grids).to(embedded.dtype)
        places = pack.ids == self.model.config.image_token_id
        return embedded.masked_scatter(places[:, None], features)

    def _features(self, pixels: Tensor, grids: Tensor | None) -> Tensor:
        features: Tensor = self.model.model.visual(pixels, grid_thw=grids).pooler_output
        return features

    def _blank(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """The smallest image there is: one token."""
        vision = self.model.config.vision_config
        merge = vision.spatial_merge_size
        values = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
        grid = torch.tensor([[1, merge, merge]], device=device)
        return torch.zeros(merge * merge, values, device=device), grid

    def _score(
        self, hidden: Tensor, ids: Tensor, temperature: float, banned: Tensor
    ) -> tuple[Tensor, Tensor]:
        if self.training and torch.is_grad_enabled():
            pair: tuple[Tensor, Tensor] = recomputed(
                self._score_rows, hidden, ids, temperature, banned, use_reentrant=False
            )
            return pair
        return self._score_rows(hidden, ids, temperature, banned)

    def _score_rows(
        self, hidden: Tensor, ids: Tensor, temperature: float, banned: Tensor
    ) -> tuple[Tensor, Tensor]:
        logits = self.model.lm_head(hidden).float().index_fill(1, banned, -torch.inf) / temperature
        norms = logits.logsumexp(dim=-1)
        with torch.no_grad():
            probabilities = (logits - norms[:, None]).exp()
            entropies = norms - (probabilities * logits.masked_fill(logits.isneginf(), 0)).sum(dim=-1)
        return logits.gather(1, ids[:, None])[:, 0] - norms, entropies


@contextmanager
def adapters_off(policy: nn.Module) -> Iterator[None]:
    """The weights that LoRA began with."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module for module in policy.modules() if isinstance(module, BaseTunerLayer)]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)
