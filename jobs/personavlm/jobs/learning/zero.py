"""DeepSpeed's ZeRO: optimiser state, gradients and weights divided, by stage. Needs DeepSpeed and GPUs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from personavlm.jobs.learning.batches import Pack
from personavlm.jobs.learning.config import LearnerConfig
from personavlm.jobs.learning.policy import Policy, Scores
from personavlm.jobs.learning.strategies import World
from personavlm.platform.errors import CommandError


class DeepSpeedStrategy:
    """One DeepSpeed engine. Weights are kept in 32 bits by its optimiser, in 16 by the model."""

    def __init__(self, policy: Policy, config: LearnerConfig, world: World) -> None:
        try:
            import deepspeed
        except ModuleNotFoundError as error:
            raise CommandError(
                "strategy.kind deepspeed needs DeepSpeed: pip install deepspeed, or use strategy.kind: fsdp2"
            ) from error
        self._deepspeed, self._stage = deepspeed, config.strategy.zero_stage
        trained = [one for one in policy.parameters() if one.requires_grad]
        self._engine, *_ = deepspeed.initialize(
            model=policy, model_parameters=trained, config=_settings(config, world)
        )

    def begin(self, last: bool) -> None:
        """The engine steps, and stages 1 and 2 share gradients, behind the last micro-batch."""
        self._engine.set_gradient_accumulation_boundary(last)

    def score(self, pack: Pack, temperature: float, ban: bool) -> Scores:
        """Through the engine, which gathers weights as layers need them."""
        scores: Scores = self._engine(pack, temperature, ban)
        return scores

    def backward(self, loss: Tensor) -> None:
        """The engine averages over processes."""
        self._engine.backward(loss, scale_wrt_gas=False)

    def step(self, rate: float) -> float:
        """One AdamW step."""
        for group in self._engine.optimizer.param_groups:
            group["lr"] = rate
        self._engine.step()
        return float(self._engine.get_global_grad_norm())

    def parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Stage 3 gathers one parameter after another."""
        for name, parameter in self._engine.module.named_parameters():
            with self._deepspeed.zero.GatheredParameters([parameter], enabled=self._stage == 3):
                yield name.removeprefix("model."), parameter.detach().clone()

    def save(self, folder: Path) -> None:
        """In DeepSpeed's own format."""
        self._engine.save_checkpoint(str(folder), tag="state", exclude_frozen_parameters=True)

    def load(self, folder: Path) -> None:
        """Raises `CommandError` where the number of processes has changed in a way that it cannot read."""
        path, _ = self._engine.load_checkpoint(str(folder), tag="state", load_module_strict=False)
        if path is None:
            raise CommandError(f"DeepSpeed cannot read {folder}; start with as many workers as wrote it")


def _settings(config: LearnerConfig, world: World) -> dict[str, Any]:
    optimiser = config.optimiser
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "train_batch_size": world.size,
        "gradient_clipping": optimiser.max_norm,
        "bf16": {"enabled": config.policy.precision == "bfloat16"},
        "zero_optimization": {
            "stage": config.strategy.zero_stage,
            "overlap_comm": True,
            "contiguous_gradients": True,
        },
        "optimizer": {
            "type": "AdamW",
            "params": {
                "lr": optimiser.learning_rate,
                "betas": list(optimiser.betas),
                "eps": optimiser.epsilon,
                "weight_decay": optimiser.weight_decay,
                "torch_adam": True,
            },
        },
    }
