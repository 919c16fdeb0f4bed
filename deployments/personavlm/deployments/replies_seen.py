"""What a policy replica does for a request, under its id and within its trace."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from opentelemetry.trace import StatusCode

from personavlm.deployments import origins, tracing
from personavlm.deployments.events import ChatJob, Done, Event, Failure
from personavlm.deployments.origins import working_for

log = logging.getLogger(__name__)


async def attributed(job: ChatJob, events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
    """Pass a reply's events on while it is worked for ``job``. To be read and closed within one task."""
    with (
        working_for(job.origin),
        tracing.span("policy.chat", job.origin.traceparent) as span,
    ):
        async with aclosing(_without_surprises(events)) as told:
            async for event in told:
                if isinstance(event, Done):
                    span.set_attributes(
                        {
                            "gen_ai.usage.input_tokens": event.prompt_tokens,
                            "gen_ai.usage.output_tokens": event.completion_tokens,
                            "personavlm.cached_tokens": event.cached_tokens,
                            "personavlm.steps": len(event.steps),
                        }
                    )
                elif isinstance(event, Failure):
                    span.set_attribute("error.type", event.code)
                    span.set_status(StatusCode.ERROR)
                yield event


async def _without_surprises(events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
    """An unexpected error becomes a failure here: beyond the process, Serve's log would quote it."""
    try:
        async with aclosing(events):
            async for event in events:
                yield event
    except Exception as error:  # the edge of the process: logged, and told as a failure
        log.error("a reply failed", exc_info=error)
        message = (
            f"the service failed on this request; its log says why, under {origins.current().request_id}"
        )
        yield Failure(message, 500, None, "internal_error")
