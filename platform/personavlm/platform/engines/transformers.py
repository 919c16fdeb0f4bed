"""The model in PyTorch through transformers: for machines without a GPU, and for what must be exact.

Conversations that wait at the same time are continued as one batch, whose keys and values are cached; those
that come meanwhile are the next batch. Log-probabilities are those of the distribution sampled from, special
ids banned, as the learner computes them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from personavlm.platform.engine_config import TransformersEngineConfig
from personavlm.platform.engines.base import Chunk, Conversation, Sampling
from personavlm.platform.engines.chatml import ChatMl
from personavlm.platform.engines.checkpoint import Checkpoint
from personavlm.platform.engines.token_prompt import TokenPrompt
from personavlm.platform.engines.token_reply import TokenReply
from personavlm.platform.errors import EngineError


class TransformersEngine:
    """A token engine. Starting it loads the weights."""

    def __init__(self, config: TransformersEngineConfig) -> None:
        try:
            from personavlm.platform.engines.transformers_batch import LoadedModel
        except ModuleNotFoundError as error:
            raise EngineError(
                "the engine 'transformers' needs the extra `train`: pip install 'personavlm[train]'"
            ) from error
        self._config = config
        self._checkpoint = Checkpoint.open(config.model)
        self._checkpoint.require_context(config.context_tokens)
        self._chat = ChatMl(self._checkpoint)
        self._shapes = self._checkpoint.shapes()
        self._version = self._checkpoint.version()
        self._model = LoadedModel(self._checkpoint, config)
        self._waiting: asyncio.Queue[Request] = asyncio.Queue()
        self._worker: asyncio.Task[None] | None = None
        self._busy = asyncio.Lock()

    @property
    def model(self) -> str:
        """The name under which clients ask for it."""
        return self._config.served_model

    @property
    def version(self) -> str:
        """Of the weights that answer now."""
        return self._version

    @property
    def description(self) -> str:
        """What answers here."""
        return f"{self.model}, a Qwen2.5-VL model in transformers."

    async def stream(self, conversation: Conversation, sampling: Sampling) -> AsyncGenerator[Chunk, None]:
        """Continue with sampled ids. Raises `ContextOverflow` or `EngineError`.

        A JSON schema is not enforced here: callers read what comes with care anyway.
        """
        if conversation.adapter:
            raise EngineError("the engine 'transformers' has no adapters; merge the adapter, or use 'vllm'")
        prompt = await TokenPrompt.of(conversation, sampling, self._checkpoint, self._config)
        reply = TokenReply(self._checkpoint.tokenizer, self._checkpoint.end, sampling)
        request = Request(prompt, sampling, reply, self._version)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        self._waiting.put_nowait(request)
        try:
            while (piece := await request.pieces.get()) is not None:
                yield Chunk(piece)
        finally:
            request.cancelled = True
        if request.error:
            raise EngineError(f"the model failed: {request.error}") from request.error
        reply.close()
        self._chat.accept(conversation, prompt.rendered, reply.spans())
        yield Chunk("", reply.finish_reason, prompt.length, reply.completion_tokens)

    async def update_weights(self, path: str, version: str = "") -> None:
        """Answer with the weights of another checkpoint of the same shape, after the batch under way."""
        checkpoint = self._checkpoint.successor(path, self._shapes)
        async with self._busy:
            await asyncio.to_thread(self._model.load, checkpoint.path)
            self._version = version or checkpoint.version()

    async def load_weights(self, weights: Mapping[str, Any], version: str) -> None:
        """Answer with other weights from the next batch on: CPU tensors by their names in a checkpoint.

        Raises `CheckpointError`, with the old weights in place, where a name or a shape is another.
        """
        async with self._busy:
            await asyncio.to_thread(self._model.take, weights)
            self._version = version

    async def check_health(self) -> None:
        """This engine lives as long as its process."""

    async def close(self) -> None:
        """Stop the worker; replies under way end with an error."""
        if self._worker:
            self._worker.cancel()
            await asyncio.wait([self._worker])

    async def _work(self) -> None:
        """Batch after batch, replies before updates."""
        while True:
            waiting = [await self._waiting.get()]
            while not self._waiting.empty():
                waiting.append(self._waiting.get_nowait())
            waiting.sort(key=lambda request: request.sampling.priority)
            batch, later = waiting[: self._config.max_batch], waiting[self._config.max_batch :]
            for request in later:
                self._waiting.put_nowait(request)
            async with self._busy:
                for request in batch:
                    request.version = self._version
                await self._run([request for request in batch if not request.cancelled])

    async def _run(self, batch: list[Request]) -> None:
        error: Exception | None = None
        try:
            if batch:
                await asyncio.to_thread(self._model.generate, batch)
        except (RuntimeError, ValueError) as failure:  # out of memory among them
            error = failure
        for request in batch:
            request.error = error
            request.pieces.put_nowait(None)


class Request:
    """One conversation in a batch. Pieces of text arrive in ``pieces``, then ``None``."""

    def __init__(self, prompt: TokenPrompt, sampling: Sampling, reply: TokenReply, version: str) -> None:
        self.prompt, self.sampling, self.reply, self.version = prompt, sampling, reply, version
        self.pieces: asyncio.Queue[str | None] = asyncio.Queue()
        self.cancelled = False
        self.error: Exception | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def done(self) -> bool:
        """Whether it needs no more tokens."""
        return self.cancelled or self.reply.done

    def feed(self, token: int, logprob: float) -> None:
        """From the model's thread: one sampled id."""
        piece = self.reply.feed(token, logprob if self.sampling.logprobs else None, self.version)
        if piece:
            self._loop.call_soon_threadsafe(self.pieces.put_nowait, piece)
