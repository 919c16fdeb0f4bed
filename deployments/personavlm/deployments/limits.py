"""What each tenant may use: messages at a time, and tokens a minute. One of these in each ingress replica."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from personavlm.deployments.events import Done, Event
from personavlm.platform.agent.types import AnswerDelta, ThinkingDelta
from personavlm.platform.errors import RequestError
from personavlm.platform.serving_config import LimitsConfig

Clock = Callable[[], float]
CHARS_PER_TOKEN = 4
"""A common estimate for English. Only for replies whose clients went away, and which nobody counted."""


class TokenBucket:
    """A budget that refills evenly up to a minute's worth, and that a reply may overdraw.

    What a reply takes is known only at its end. So who has anything left may begin one, and who is in debt
    waits: whenever somebody may, less than ``burst + rate * t`` has been charged in ``t`` seconds.
    """

    def __init__(self, per_minute: float, clock: Clock) -> None:
        self._burst, self._rate, self._clock = per_minute, per_minute / 60, clock
        self._level, self._as_of = per_minute, clock()

    def charge(self, tokens: int) -> None:
        """Take tokens that have been used."""
        self._refill()
        self._level -= tokens

    def wait_s(self) -> float:
        """Seconds until there is a whole token again; 0 where there is one."""
        self._refill()
        missing = min(1.0, self._burst) - self._level
        return missing / self._rate if missing > 0 else 0.0

    def _refill(self) -> None:
        now = self._clock()
        self._level = min(self._burst, self._level + (now - self._as_of) * self._rate)
        self._as_of = now


class Tenant:
    """The state of one tenant: what it uses now, and what it has left."""

    def __init__(self, concurrency: int | None, bucket: TokenBucket | None) -> None:
        self._concurrency, self._bucket = concurrency, bucket
        self._ongoing = 0

    def enter(self) -> None:
        """Begin a message. Raises `RequestError` with status 429 where a limit is reached."""
        if self._concurrency is not None and self._ongoing >= self._concurrency:
            raise RequestError(
                f"{self._ongoing} messages of your tenant are being answered, which is its limit here; "
                "send the next one when one of them is done",
                status=429, code="concurrency_limit_exceeded",
            )  # fmt: skip
        if self._bucket and (wait := self._bucket.wait_s()):
            seconds = math.ceil(wait)
            raise RequestError(
                f"your tenant has used up its tokens; try again in {seconds} s",
                status=429, code="token_limit_exceeded", retry_after_s=seconds,
            )  # fmt: skip
        self._ongoing += 1

    def leave(self) -> None:
        """The message has been answered, or given up."""
        self._ongoing -= 1

    async def charged(self, events: AsyncIterator[list[Event]]) -> AsyncGenerator[list[Event], None]:
        """The same events. The tenant pays for the reply at its end, or for what it has got of it."""
        used = None
        sent = 0
        try:
            async for batch in events:
                for event in batch:
                    if isinstance(event, Done):
                        used = event.prompt_tokens + event.completion_tokens
                    elif isinstance(event, AnswerDelta | ThinkingDelta):
                        sent += len(event.text)
                yield batch
        finally:
            if self._bucket:
                self._bucket.charge(sent // CHARS_PER_TOKEN if used is None else used)


class Limits:
    """All tenants."""

    def __init__(self, config: LimitsConfig, ingress_replicas: int, clock: Clock = time.monotonic) -> None:
        self._config, self._replicas, self._clock = config, ingress_replicas, clock
        self._tenants: dict[str, Tenant] = {}

    def of(self, name: str) -> Tenant:
        """The tenant of that name."""
        if name not in self._tenants:
            limits = self._config.of(name)
            concurrency, tokens = self._share(limits.concurrency), self._share(limits.tokens_per_minute)
            self._tenants[name] = Tenant(concurrency, TokenBucket(tokens, self._clock) if tokens else None)
        return self._tenants[name]

    def _share(self, limit: int | None) -> int | None:
        return None if limit is None else math.ceil(limit / self._replicas)
