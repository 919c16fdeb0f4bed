"""A loaded model that continues a batch of conversations. Needs PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoImageProcessor, Qwen2_5_VLForConditionalGeneration
from transformers.generation import (
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

from personavlm.platform.engine_config import TransformersEngineConfig
from personavlm.platform.engines.checkpoint import Checkpoint
from personavlm.platform.engines.pixels import image_tokens
from personavlm.platform.errors import CheckpointError

if TYPE_CHECKING:
    from personavlm.platform.engines.transformers import Request


NOISE_AT_ONCE = 8192  # numbers for each request


class LoadedModel:
    """Qwen2.5-VL on one device."""

    def __init__(self, checkpoint: Checkpoint, config: TransformersEngineConfig) -> None:
        self._checkpoint = checkpoint
        try:
            self._model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
                checkpoint.path, dtype=config.dtype
            )
            self._processor = AutoImageProcessor.from_pretrained(checkpoint.path, backend="pil")
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise CheckpointError(f"{checkpoint.path} cannot be loaded: {error}") from error
        self._model.to(config.device).eval()
        limits = checkpoint.processor_limits(config.max_pixels)
        self._size = {"shortest_edge": limits["min_pixels"], "longest_edge": limits["max_pixels"]}

    def load(self, path: Path) -> None:
        """Replace the weights. Raises `CheckpointError` where a name or shape differs."""
        try:
            other = Qwen2_5_VLForConditionalGeneration.from_pretrained(path, dtype=self._model.dtype)
            self._model.load_state_dict(other.state_dict())
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise CheckpointError(f"{path} cannot be loaded: {error}") from error

    @torch.no_grad()
    def take(self, weights: Mapping[str, Tensor]) -> None:
        """Replace the weights by tensors named as in a checkpoint. Raises `CheckpointError`."""
        own = {_checkpoint_name(name): value for name, value in self._model.state_dict().items()}
        if self._checkpoint.config.tie_word_embeddings:
            own.pop("lm_head.weight", None)
        new = {_checkpoint_name(name): value for name, value in weights.items()}
        if self._checkpoint.config.tie_word_embeddings:
            new.pop("lm_head.weight", None)  # some write the embeddings twice
        differing = [
            name for name in own.keys() | new.keys()
            if name not in own or name not in new or own[name].shape != new[name].shape
        ]  # fmt: skip
        if differing:
            raise CheckpointError(f"the new weights do not fit: {', '.join(sorted(differing)[:5])}")
        for name, value in own.items():
            value.copy_(new[name])

    @torch.inference_mode()
    def generate(self, batch: list[Request]) -> None:
        """Sample until every request is done, feeding each its tokens as they come."""
        draw = _Draw(batch, self._checkpoint.banned(), self._model.device)
        self._model.generate(
            **self._inputs(batch),
            max_new_tokens=max(request.prompt.max_tokens for request in batch) + 1,
            do_sample=False,  # `_Draw` has drawn already: the greatest score is the sample
            eos_token_id=None,
            pad_token_id=self._checkpoint.end,
            logits_processor=LogitsProcessorList([draw]),
            stopping_criteria=StoppingCriteriaList([_Deliver(batch, draw)]),
        )

    def _inputs(self, batch: list[Request]) -> dict[str, Tensor]:
        """``input_ids``, ``attention_mask``, ``mm_token_type_ids``: (batch, longest), padded on the left."""
        rows = [self._expanded(request) for request in batch]
        longest = max(map(len, rows))
        ids = torch.tensor([[self._checkpoint.end] * (longest - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
        seen = (ids == self._checkpoint.special["<|image_pad|>"]).long()
        inputs = {"input_ids": ids, "attention_mask": mask, "mm_token_type_ids": seen}
        images = [image for request in batch for image in request.prompt.images]
        if images:
            inputs |= dict(self._processor(images=images, size=self._size, return_tensors="pt"))
        return {name: tensor.to(self._model.device) for name, tensor in inputs.items()}

    def _expanded(self, request: Request) -> list[int]:
        """The ids with as many places for each image as it has tokens."""
        pad, images = self._checkpoint.special["<|image_pad|>"], iter(request.prompt.images)
        ids: list[int] = []
        for token in request.prompt.ids:
            ids += (
                [pad] * image_tokens(next(images), self._checkpoint.patch_pixels) if token == pad else [token]
            )
        return ids


class _Draw(LogitsProcessor):
    """Turns logits into scores whose greatest is a sample of each request's own distribution.

    Adding Gumbel noise to log-probabilities and taking the greatest samples from them (Gumbel 1954;
    Maddison, Tarlow and Minka, 2014). ``logprobs``: (batch, vocabulary), of the last step.
    """

    def __init__(self, batch: list[Request], banned: tuple[int, ...], device: torch.device) -> None:
        self._banned = torch.tensor(banned, device=device)
        temperatures = [request.sampling.temperature or 1.0 for request in batch]
        self._divisors = torch.tensor(temperatures, device=device)[:, None]
        self._noise = _Noise(batch, device)
        self.logprobs = torch.empty(0)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        scores = scores.index_fill(1, self._banned, -torch.inf)
        self.logprobs = torch.log_softmax(scores / self._divisors.to(scores.dtype), dim=-1)
        return self.logprobs + self._noise.next(self.logprobs)


class _Deliver(StoppingCriteria):
    """Hands each request its newest token; a row is over when its request is."""

    def __init__(self, batch: list[Request], draw: _Draw) -> None:
        self._batch, self._draw = batch, draw

    def __call__(self, input_ids: Tensor, scores: object, **_: object) -> Tensor:
        tokens = input_ids[:, -1]
        logprobs = self._draw.logprobs.gather(1, tokens[:, None])[:, 0].tolist()
        for request, token, logprob in zip(self._batch, tokens.tolist(), logprobs, strict=True):
            if not request.done:
                request.feed(token, logprob)
        return torch.tensor([request.done for request in self._batch], device=input_ids.device)


def _checkpoint_name(name: str) -> str:
    """A weight's name as checkpoints have it, from that or from the model's own."""
    return name.replace("model.language_model.", "model.").replace("model.visual.", "visual.")


class _Noise:
    """Gumbel noise for each request from its own seed, so that what it samples does not depend on the others
    in its batch. Drawn for several steps at once: a call for each request and step would take longer than a
    small model does."""

    def __init__(self, batch: list[Request], device: torch.device) -> None:
        self._hot = torch.tensor([request.sampling.temperature > 0 for request in batch], device=device)
        self._sources = [_generator(request.sampling.seed, device) for request in batch]
        self._drawn: Tensor | None = None
        self._used = 0

    def next(self, like: Tensor) -> Tensor:
        """The noise of the next step, of the shape of ``like``; 0 for requests that are greedy."""
        if not self._hot.any():
            return torch.zeros_like(like)
        if self._drawn is None or self._used == len(self._drawn[0]):
            steps = max(1, NOISE_AT_ONCE // like.shape[1])
            drawn = [_gumbel((steps, like.shape[1]), source, like.dtype) for source in self._sources]
            self._drawn, self._used = torch.stack(drawn) * self._hot[:, None, None], 0
        self._used += 1
        return self._drawn[:, self._used - 1]


def _generator(seed: int | None, device: torch.device) -> torch.Generator:
    generator = torch.Generator(device)
    generator.seed() if seed is None else generator.manual_seed(seed)
    return generator


def _gumbel(shape: tuple[int, int], generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    uniform = torch.rand(shape, generator=generator, device=generator.device, dtype=torch.float64)
    return (-torch.log(-torch.log(uniform.clamp_min(1e-300)))).to(dtype)
