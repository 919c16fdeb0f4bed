"""The policy replicas as the ingress sees them: which model they serve, and who answers a message."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

from ray import serve
from ray.serve.handle import DeploymentHandle

from personavlm.deployments.deadlines import until
from personavlm.deployments.events import ChatJob, Event, Served
from personavlm.platform.errors import RequestError

POLICY, POLICY_APP = "policy", "personavlm-policy"
"""The deployment, and the application of its own that it is, so that it can be rolled out by itself."""


class PolicyReplicas:
    """Behind one handle, which also holds the queue of this ingress replica."""

    def __init__(self) -> None:
        self._handle: DeploymentHandle = serve.get_deployment_handle(POLICY, POLICY_APP)
        self._served: Served | None = None

    async def served(self) -> Served:
        """What one of the replicas says of itself now; they differ only while a new version is rolled out."""
        self._served = cast(Served, await self._handle.served.remote())
        return self._served

    async def check(self, model: str) -> None:
        """Raises `RequestError` where the model is not served, and only after it has asked again."""
        if self._served and model == self._served.model:
            return
        if model != (known := await self.served()).model:
            raise RequestError(
                f"model {model!r} is not served here; use {known.model!r}",
                status=404, param="model", code="model_not_found",
            )  # fmt: skip

    async def chat(self, job: ChatJob) -> AsyncIterator[list[Event]]:
        """The events of the reply, once a replica has taken the message on.

        Raises `BackPressureError` where too many wait already, `RequestError` at the deadline.
        """
        session = "\0".join(job.user)
        events = self._handle.options(stream=True, session_id=session).chat.remote(job)
        try:
            async with until(job.deadline, "waited for a free replica"):
                await anext(events)
        except RequestError:
            events.cancel()
            raise
        return cast(AsyncIterator[list[Event]], events)
