"""The update stage's way to an engine that holds weights: it asks the policy replicas, which have one.

So the weights are in memory once, a user's updates are worked on where that user's replies are, and whatever
the policy is replaced by answers from then on.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import cached_property
from typing import cast

from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from personavlm.deployments.events import EngineJob, EngineResult
from personavlm.platform.engine_config import EngineConfig, LocalModelConfig
from personavlm.platform.engines.base import Chunk, Conversation, Engine, Sampling
from personavlm.platform.engines.build import build_engine
from personavlm.platform.errors import EngineError, EngineUnavailable

APP = "personavlm"
POLICY = "policy"


def update_engine(config: EngineConfig) -> Engine:
    """The engine for the update stage outside the policy replicas."""
    return PolicyEngine(config) if isinstance(config, LocalModelConfig) else build_engine(config)


class PolicyEngine:
    """The engine of the policy replicas, from another process. Replies come in one piece."""

    version = ""  # whichever replica answers

    def __init__(self, config: LocalModelConfig) -> None:
        self._config = config

    @property
    def model(self) -> str:
        """The policy's."""
        return self._config.served_model

    @property
    def description(self) -> str:
        """What answers here."""
        return f"{self.model} in the policy replicas."

    async def stream(self, conversation: Conversation, sampling: Sampling) -> AsyncGenerator[Chunk, None]:
        """One chunk with everything. Raises what the replica's engine raised, or `EngineUnavailable`."""
        assert conversation.user is not None  # the update stage works for somebody
        job = EngineJob(
            conversation.user,
            tuple(conversation.segments),
            tuple(conversation.tokens),
            conversation.rendered,
            sampling,
        )
        result = await self._ask(job)
        conversation.tokens += result.tokens
        conversation.rendered = len(conversation.segments) + 1
        said = result.completion
        yield Chunk(
            said.text, said.finish_reason, said.prompt_tokens, said.completion_tokens, said.cached_tokens
        )

    async def check_health(self) -> None:
        """Serve looks after the replicas."""

    async def close(self) -> None:
        """Nothing to release."""

    async def _ask(self, job: EngineJob) -> EngineResult:
        try:
            session = "\0".join(job.user)
            return cast(EngineResult, await self._handle.options(session_id=session).generate.remote(job))
        except RayTaskError as error:  # raised in the replica; its own text holds a traceback
            if isinstance(error.cause, EngineError):
                raise error.cause from None
            raise EngineError(f"the policy replica failed: {type(error.cause).__name__}") from error
        except (RayError, RayServeException) as error:
            raise EngineUnavailable(f"no policy replica answers: {error}") from error

    @cached_property
    def _handle(self) -> DeploymentHandle:
        return serve.get_deployment_handle(POLICY, APP)
