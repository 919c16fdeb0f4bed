"""Figures of one optimiser step, over all its micro-batches and processes."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, distributed

from personavlm.jobs.learning.strategies import World


@dataclass(slots=True)
class Tally:
    """Sums, and least and greatest values. All processes add to the same names, in the same order."""

    world: World
    _sums: dict[str, float] = field(default_factory=dict)
    _greatest: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, values: Tensor) -> None:
        """Add up what the tensor holds; nothing is as good as 0."""
        self._sums[name] = self._sums.get(name, 0.0) + float(values.detach().double().sum())

    def range(self, name: str, values: Tensor) -> None:
        """Keep the least and greatest as ``<name>_min`` and ``<name>_max``."""
        for key, sign in ((f"{name}_max", 1.0), (f"{name}_min", -1.0)):
            most = float((sign * values.detach()).max()) if values.numel() else -torch.inf
            self._greatest[key] = max(self._greatest.get(key, -torch.inf), most)

    def totals(self) -> tuple[dict[str, float], dict[str, float]]:
        """Sums and extremes over all processes."""
        return (
            self._reduced(self._sums, distributed.ReduceOp.SUM),
            {
                key: value if key.endswith("_max") else -value
                for key, value in self._reduced(self._greatest, distributed.ReduceOp.MAX).items()
            },
        )

    def _reduced(self, values: dict[str, float], operation: distributed.ReduceOp) -> dict[str, float]:
        if self.world.size == 1:
            return values
        tensor = torch.tensor(list(values.values()), dtype=torch.float64, device=self.world.device)
        distributed.all_reduce(tensor, operation)
        return dict(zip(values, tensor.tolist(), strict=True))
