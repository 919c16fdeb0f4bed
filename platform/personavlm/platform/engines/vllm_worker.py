"""Runs inside vLLM's worker processes: other weights for the loaded model, and the ids never sampled."""

from __future__ import annotations

from typing import Any

import torch
from vllm.config import VllmConfig, set_current_vllm_config
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor


class WeightUpdates:
    """Mixed into vLLM's worker, which brings ``model_runner`` and ``vllm_config``."""

    model_runner: Any
    vllm_config: Any

    def load_checkpoint(self, path: str) -> None:
        """Load the weights of the checkpoint in folder ``path``. Nothing may be generated meanwhile."""
        with set_current_vllm_config(self.vllm_config):
            self.model_runner.reload_weights(weights_path=path)
            for head in self.model_runner.get_model().modules():
                if isinstance(head, ParallelLMHead):
                    # A head that is tied to the embeddings is no weight of its own in the checkpoint, so
                    # reloading passes it by and whatever it prepared from the old weights would stay.
                    head.quant_method.process_weights_after_loading(head)


class Bans(LogitsProcessor):
    """Takes the ids of ``additional_config["banned"]`` out of every distribution.

    The same for all requests, so nothing travels with them, as a bias for each id would.
    """

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        self._banned = torch.tensor(vllm_config.additional_config["banned"], device=device, dtype=torch.long)

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Change ``logits``, of shape (requests, vocabulary), in place."""
        return logits.index_fill_(1, self._banned, -torch.inf)

    def is_argmax_invariant(self) -> bool:
        """A banned id may have been the most likely one."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """No request has a state."""
