"""How processes share the work of one optimiser step: each has all weights (ddp), or a part (fsdp2)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, distributed, nn
from torch.distributed import checkpoint as sharded
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_

from personavlm.jobs.learning.batches import Pack
from personavlm.jobs.learning.config import LearnerConfig
from personavlm.jobs.learning.optimiser import adamw
from personavlm.jobs.learning.policy import Policy, Scores


@dataclass(frozen=True, slots=True)
class World:
    """This process among those that learn together."""

    rank: int
    size: int
    device: torch.device

    def barrier(self) -> None:
        """Wait for all."""
        if self.size > 1:
            distributed.barrier()


class Strategy(Protocol):
    """What a learner needs. All processes call every method, in the same order."""

    def begin(self, last: bool) -> None:
        """Before a micro-batch is scored to learn from; the gradient is whole after the ``last``."""
        ...

    def score(self, pack: Pack, temperature: float, ban: bool) -> Scores: ...

    def backward(self, loss: Tensor) -> None:
        """Add the gradient, which is averaged over processes."""
        ...

    def step(self, rate: float) -> float:
        """Clip, update, forget the gradient; its length before clipping."""
        ...

    def parameters(self) -> Iterator[tuple[str, Tensor]]:
        """All parameters, whole, by their names in the policy's model."""
        ...

    def save(self, folder: Path) -> None:
        """Write trained parameters and the optimiser's state."""
        ...

    def load(self, folder: Path) -> None: ...


def build_strategy(policy: Policy, config: LearnerConfig, world: World) -> Strategy:
    """Place the policy on the device, divided as configured."""
    if config.strategy.kind == "deepspeed":
        from personavlm.jobs.learning.zero import DeepSpeedStrategy

        return DeepSpeedStrategy(policy, config, world)
    if config.strategy.kind == "fsdp2":
        return TorchStrategy(policy, sharded_over(policy, config, world), config, world)
    policy.to(world.device)
    wrapped = DistributedDataParallel(policy) if world.size > 1 else policy
    return TorchStrategy(policy, wrapped, config, world)


def sharded_over(policy: Policy, config: LearnerConfig, world: World) -> nn.Module:
    """The policy, each of its layers divided over all processes (FSDP2)."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    if not distributed.is_initialized():
        distributed.init_process_group(store=distributed.HashStore(), rank=0, world_size=1)
    mesh = init_device_mesh(world.device.type, (world.size,))
    compute = getattr(torch, config.policy.precision)
    precision = MixedPrecisionPolicy(param_dtype=compute, reduce_dtype=torch.float32)
    backbone = policy.model.model
    for layer in (*backbone.visual.blocks, *backbone.language_model.layers):
        fully_shard(layer, mesh=mesh, mp_policy=precision)
    fully_shard(policy, mesh=mesh, mp_policy=precision)
    return policy.to(world.device)


class TorchStrategy:
    """PyTorch's own: DDP or FSDP2, or one process alone."""

    def __init__(self, policy: Policy, module: nn.Module, config: LearnerConfig, world: World) -> None:
        self._policy, self._module, self._world = policy, module, world
        self._max_norm = config.optimiser.max_norm
        self._trained = {name: one for name, one in policy.named_parameters() if one.requires_grad}
        self._optimiser = adamw(self._trained.values(), config.optimiser)
        mixed = config.strategy.kind == "ddp" and config.policy.precision == "bfloat16"
        self._precision = torch.autocast(world.device.type, torch.bfloat16) if mixed else nullcontext()

    def begin(self, last: bool) -> None:
        """Gradients travel between processes with the last micro-batch only."""
        if isinstance(self._module, DistributedDataParallel):
            self._module.require_backward_grad_sync = last
        elif self._world.size > 1:
            self._module.set_requires_gradient_sync(last)

    def score(self, pack: Pack, temperature: float, ban: bool) -> Scores:
        """Through the wrapper, so that its hooks run."""
        with self._precision:
            scores: Scores = self._module(pack, temperature, ban)
        return scores

    def backward(self, loss: Tensor) -> None:
        """As the wrapper's hooks do it."""
        loss.backward()

    def step(self, rate: float) -> float:
        """One AdamW step."""
        norm = clip_grad_norm_(self._trained.values(), self._max_norm)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        return float(_whole(norm))

    def parameters(self) -> Iterator[tuple[str, Tensor]]:
        """One after another, so that a GPU holds one whole parameter at a time."""
        for name, parameter in self._policy.named_parameters():
            yield name.removeprefix("model."), _whole(parameter.detach())

    def save(self, folder: Path) -> None:
        """Every process writes what it holds."""
        sharded.save(self._state(), checkpoint_id=folder, no_dist=not distributed.is_initialized())

    def load(self, folder: Path) -> None:
        """Into the parameters and moments that are there; processes may be more or fewer than they were."""
        sharded.load(self._state(), checkpoint_id=folder, no_dist=not distributed.is_initialized())

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = {}
        for name, parameter in self._trained.items():
            state[f"weight.{name}"] = parameter.detach()
            moments = self._optimiser.state[parameter]
            state |= {f"{key}.{name}": value for key, value in moments.items()}
        return state


def _whole(tensor: Tensor) -> Tensor:
    """The tensor, gathered where each process holds a part."""
    whole: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return whole
