"""vLLM in this process: `AsyncLLM`, ids in and ids out.

What vLLM does silently wrong is prevented here, each with its reason: special ids and rows that pad the
vocabulary are banned, one adapter slot more is kept than adapters are loaded, an adapter is loaded before a
request names it, and new weights go through `vllm_worker.WeightUpdates`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Coroutine
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from personavlm.platform.engine_config import VllmEngineConfig
from personavlm.platform.engines.adapters import Adapter, AdapterSlots
from personavlm.platform.engines.base import Chunk, Conversation, Sampling
from personavlm.platform.engines.chatml import ChatMl
from personavlm.platform.engines.checkpoint import Checkpoint, locate
from personavlm.platform.engines.token_prompt import TokenPrompt
from personavlm.platform.engines.token_reply import TokenReply
from personavlm.platform.errors import CheckpointError, EngineError, EngineUnavailable

if TYPE_CHECKING:
    from vllm import RequestOutput, SamplingParams
    from vllm.lora.request import LoRARequest
    from vllm.v1.engine.async_llm import AsyncLLM

log = logging.getLogger(__name__)
WORKER_EXTENSION = "personavlm.platform.engines.vllm_worker.WeightUpdates"
BANS = "personavlm.platform.engines.vllm_worker:Bans"
ALIVE_EVERY_S = 1.0
T = TypeVar("T")


class VllmEngine:
    """A token engine. Starting it loads the weights, which takes from half a minute to minutes."""

    def __init__(self, config: VllmEngineConfig) -> None:
        self._config = config
        self._checkpoint = Checkpoint.open(config.model)
        self._checkpoint.require_context(config.context_tokens)
        self._chat = ChatMl(self._checkpoint)
        self._shapes = self._checkpoint.shapes()
        self._adapters = {
            name: Adapter.open(name, locate(adapter.path), config.adapter_rank, self._shapes)
            for name, adapter in config.adapters.items()
        }
        self._slots = AdapterSlots(config.adapter_slots, self._load_adapter, self._unload_adapter)
        self._updates = asyncio.Semaphore(config.update_slots)
        self._version = self._checkpoint.version()
        self._broken = ""
        self._llm = _start(config, self._checkpoint, any(adapter.sees for adapter in self._adapters.values()))

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
        return f"{self.model}, a Qwen2.5-VL model in vLLM."

    async def stream(self, conversation: Conversation, sampling: Sampling) -> AsyncGenerator[Chunk, None]:
        """Continue with sampled ids. Raises `ContextOverflow`, `EngineUnavailable` or `EngineError`."""
        prompt = await TokenPrompt.of(conversation, sampling, self._checkpoint, self._config)
        reply = TokenReply(self._checkpoint.tokenizer, self._checkpoint.end, sampling)
        cached, version = 0, ""
        async with AsyncExitStack() as held:
            if sampling.priority > 0:
                await held.enter_async_context(self._updates)
            lora = await self._lora(conversation.adapter, held)
            outputs = self._generate(prompt, conversation, sampling, lora)
            async for output in await held.enter_async_context(aclosing(outputs)):
                # Weights change only between requests, so the first ids tell whose all of them are.
                version, cached = version or self._version, max(cached, output.num_cached_tokens or 0)
                if piece := "".join(_read(reply, output, version)):
                    yield Chunk(piece)
                if reply.done:
                    break  # leaving the generator ends the request in the engine
        reply.close()
        self._chat.accept(conversation, prompt.rendered, reply.spans())
        yield Chunk("", reply.finish_reason, prompt.length, reply.completion_tokens, cached)

    async def update_weights(self, path: str, version: str = "") -> None:
        """Answer with the weights of another checkpoint of the same shape from now on.

        Replies under way are finished first, those that come meanwhile wait. Raises `CheckpointError` and
        keeps the old weights where the folder cannot be used; `EngineError` where loading failed halfway:
        the engine then refuses everything, and its replica has to be replaced.
        """
        checkpoint = self._checkpoint.successor(path, self._shapes)
        version = version or checkpoint.version()
        try:
            await self._answer(self._llm.pause_generation(mode="wait", clear_cache=True))
            await self._answer(self._llm.collective_rpc("load_checkpoint", args=(str(checkpoint.path),)))
            self._version = version  # before the first id of the new weights can come
        except Exception as error:  # whatever vLLM's worker raised: it arrives without its own type
            self._broken = f"new weights could not be loaded: {error}"
            raise EngineError(self._broken) from error
        finally:
            await self._resume()

    async def _resume(self) -> None:
        """Let those who waited go on, be it to learn that the engine is broken."""
        try:
            await self._answer(self._llm.resume_generation())
        except Exception as error:  # noqa: BLE001  its process is gone, in whatever state the call found it
            self._broken = self._broken or f"vLLM has stopped: {error}"
            log.warning("vLLM could not go on after an update: %s", error)

    async def check_health(self) -> None:
        """Raises `EngineError` if the engine cannot answer any more."""
        if self._broken or self._llm.errored:
            raise EngineError(self._broken or f"vLLM has stopped: {self._llm.dead_error}")

    async def close(self) -> None:
        """Stop the engine's process."""
        await asyncio.to_thread(self._llm.shutdown)

    async def _generate(
        self, prompt: TokenPrompt, conversation: Conversation, sampling: Sampling, lora: LoRARequest | None
    ) -> AsyncGenerator[RequestOutput, None]:
        """vLLM's own outputs, with its errors as ours."""
        from vllm.v1.engine.exceptions import EngineDeadError

        if self._broken:
            raise EngineUnavailable(self._broken)
        request: dict[str, Any] = {"prompt_token_ids": list(prompt.ids)}
        if prompt.images:
            request["multi_modal_data"] = {"image": prompt.images}
        if conversation.user:
            request["cache_salt"] = conversation.user.tenant
        parameters = self._parameters(sampling, prompt.max_tokens)
        outputs = self._llm.generate(
            request, parameters, uuid4().hex, lora_request=lora, priority=sampling.priority
        )
        try:
            async with aclosing(outputs):
                async for output in outputs:
                    if self._broken:  # it waited while the weights were half replaced
                        raise EngineUnavailable(self._broken)
                    yield output
        except EngineDeadError as error:
            raise EngineUnavailable(self._broken or f"vLLM has stopped: {error}") from error
        except ValueError as error:  # what it validates at the door
            raise EngineError(f"vLLM refused the request: {error}") from error
        except EngineError:
            raise
        except Exception as error:  # calls into an engine that is going down fail without a type of their own
            raise EngineUnavailable(f"vLLM failed: {error}") from error

    def _parameters(self, sampling: Sampling, max_tokens: int) -> SamplingParams:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        schema = sampling.json_schema
        return SamplingParams(
            # One more, so that a reply whose stop string was its last token can still end its message.
            max_tokens=max_tokens + 1 if sampling.stop else max_tokens,
            temperature=sampling.temperature,
            seed=sampling.seed,
            logprobs=0 if sampling.logprobs else None,
            stop_token_ids=[self._checkpoint.end],
            detokenize=False,
            output_kind=RequestOutputKind.DELTA,
            structured_outputs=StructuredOutputsParams(json=dict(schema)) if schema else None,
        )

    async def _lora(self, name: str, held: AsyncExitStack) -> LoRARequest | None:
        if not name:
            return None
        if name not in self._adapters:
            raise EngineError(f"no adapter {name!r} is configured")
        adapter = self._adapters[name]
        return _request(adapter, await held.enter_async_context(self._slots.use(adapter)))

    async def _load_adapter(self, adapter: Adapter, number: int) -> None:
        try:
            await self._answer(self._llm.add_lora(_request(adapter, number)))
        except EngineUnavailable:  # not the adapter's fault
            raise
        except Exception as error:  # whatever vLLM's worker raised: it arrives without its own type
            raise CheckpointError(f"adapter {adapter.name} does not fit the model: {error}") from error

    async def _unload_adapter(self, number: int) -> None:
        await self._answer(self._llm.remove_lora(number))

    async def _answer(self, call: Coroutine[Any, Any, T]) -> T:
        """vLLM's answer to a call into its process. Raises `EngineUnavailable` when that dies meanwhile.

        vLLM fails the requests of a dead process, and leaves every other call waiting for ever.
        """
        asked = asyncio.create_task(call)
        try:
            while not asked.done():
                await asyncio.wait([asked], timeout=ALIVE_EVERY_S)
                if self._llm.errored and not asked.done():
                    raise EngineUnavailable("vLLM's process has died")
            return asked.result()
        finally:
            asked.cancel()


def _request(adapter: Adapter, number: int) -> LoRARequest:
    from vllm.lora.request import LoRARequest

    return LoRARequest(f"{adapter.name}-{number}", number, str(adapter.path))


def _read(reply: TokenReply, output: RequestOutput, version: str) -> list[str]:
    """Feed an output's new ids to the reply; the pieces of text that they add."""
    new = output.outputs[0]
    logprobs = new.logprobs or [None] * len(new.token_ids)
    return [
        reply.feed(token, of[token].logprob if of else None, version)
        for token, of in zip(new.token_ids, logprobs, strict=True)
    ]


def _start(config: VllmEngineConfig, checkpoint: Checkpoint, adapters_see: bool) -> AsyncLLM:
    """The running `AsyncLLM`. Raises `EngineError` or `CheckpointError`."""
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    if not config.compile:
        os.environ.setdefault("TORCH_COMPILE_DISABLE", "1")
    try:
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM
    except ModuleNotFoundError as error:
        raise EngineError(
            "the engine 'vllm' needs the extra `vllm`: pip install 'personavlm[vllm]'"
        ) from error
    arguments = AsyncEngineArgs(
        model=str(checkpoint.path),
        served_model_name=config.served_model,
        dtype=config.dtype,
        # One more where the model has it: the token behind a stop string.
        max_model_len=min(config.context_tokens + 1, checkpoint.config.text_config.max_position_embeddings),
        max_num_seqs=config.max_batch,
        tensor_parallel_size=config.tensor_parallel,
        gpu_memory_utilization=config.gpu_memory,
        kv_cache_memory_bytes=config.kv_cache_mb * 2**20 if config.kv_cache_mb else None,
        enforce_eager=not config.compile,
        enable_prefix_caching=True,
        scheduling_policy="priority",
        # As sampled: after temperature and bans. The default would be the raw model's.
        logprobs_mode="processed_logprobs",
        generation_config="vllm",  # no top_p or penalties that a checkpoint brings along
        limit_mm_per_prompt={"image": config.max_images, "video": 0},
        mm_processor_kwargs=checkpoint.processor_limits(config.max_pixels),
        enable_lora=bool(config.adapters),
        # With all slots filled, requests without an adapter in the same batch come out wrong.
        max_loras=config.adapter_slots + 1,
        max_lora_rank=config.adapter_rank,
        enable_tower_connector_lora=adapters_see,
        worker_extension_cls=WORKER_EXTENSION,
        logits_processors=[BANS],
        additional_config={"banned": list(checkpoint.banned())},
        disable_log_stats=True,
    )
    try:
        return AsyncLLM.from_engine_args(arguments)
    except (ValueError, RuntimeError, OSError) as error:
        raise EngineError(f"vLLM cannot start {config.model}: {error}") from error
