"""The policy replicas as the ingress sees them: which model they serve, and who answers a message."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import cast

from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle

from personavlm.deployments.deadlines import until
from personavlm.deployments.events import ChatJob, Event, Served
from personavlm.platform.errors import RequestError

WAITED = "waited for a free replica"


class PolicyReplicas:
    """Behind one handle, which also holds the queue of this ingress replica."""

    def __init__(self, handle: DeploymentHandle) -> None:
        self._handle = handle
        self._served: Served | None = None

    async def served(self, deadline: float) -> Served:
        """What one of the replicas says of itself now; they differ only while a new version is rolled out."""
        with _room():
            async with until(deadline, WAITED):
                self._served = cast(Served, await self._handle.served.remote())
        return self._served

    async def adapter(self, model: str, tenant: str, deadline: float) -> str:
        """The adapter that a tenant's choice of a model means; empty for the model itself.

        Raises `RequestError` where it is not served, and only after it has asked again.
        """
        served = self._served
        if served is None or model not in served.models(tenant):
            served = await self.served(deadline)
        if model not in (known := served.models(tenant)):
            names = " or ".join(map(repr, known))
            raise RequestError(
                f"model {model!r} is not served here; use {names}",
                status=404, param="model", code="model_not_found",
            )  # fmt: skip
        return "" if model == served.model else model

    async def chat(self, job: ChatJob) -> AsyncIterator[list[Event]]:
        """The events of the reply, once a replica has taken the message on.

        Raises `RequestError` where too many wait already, and at the deadline.
        """
        session = "\0".join(job.user)
        events = self._handle.options(stream=True, session_id=session).chat.remote(job)
        with _room():
            async with until(job.deadline, WAITED):
                await anext(events)
        return cast(AsyncIterator[list[Event]], events)


@contextmanager
def _room() -> Iterator[None]:
    """Say in our own words that the queue is full: Serve's would reach the client as plain text."""
    try:
        yield
    except BackPressureError as error:
        raise RequestError(
            "the service is busy and its queue is full; try again", status=429, code="rate_limit_exceeded"
        ) from error
