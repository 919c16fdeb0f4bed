"""Runs inside vLLM's worker processes: puts other weights into the model that is loaded."""

from __future__ import annotations

from typing import Any

from vllm.config import set_current_vllm_config
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead


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
