"""Asking a judge: not too much at once, not for too long, and not at all while it is down."""

from __future__ import annotations

import asyncio
from random import Random
from time import monotonic

from personavlm.jobs.rewards.base import Episode, Judge, JudgeError, Verdict
from personavlm.jobs.rewards.config import JudgingConfig


class Breaker:
    """Opens after failures in a row; when it has rested, one caller may try, and closes it by success."""

    def __init__(self, failures: int, rest_s: float) -> None:
        self._most, self._rest_s = failures, rest_s
        self._failures = 0
        self._closed_again = 0.0

    @property
    def open(self) -> bool:
        """Whether nobody may try now."""
        return self._failures >= self._most and monotonic() < self._closed_again

    def failed(self) -> None:
        """A try failed."""
        self._failures += 1
        if self._failures >= self._most:
            self._closed_again = monotonic() + self._rest_s

    def succeeded(self) -> None:
        """A try succeeded."""
        self._failures = 0

    def tried(self) -> None:
        """Somebody tries: while that is under way, nobody else does if the breaker had opened."""
        if self._failures >= self._most:
            self._closed_again = monotonic() + self._rest_s


class JudgePool:
    """A `Judge` in front of another."""

    def __init__(self, judge: Judge, config: JudgingConfig, seed: int = 0) -> None:
        self._judge, self._config = judge, config
        self._free = asyncio.Semaphore(config.concurrency)
        self._breaker = Breaker(config.breaker_failures, config.breaker_rest_s)
        self._random = Random(seed)

    async def judge(self, episode: Episode) -> Verdict:
        """A verdict after at most ``attempts``. Raises `JudgeError`, at once while the judge is down."""
        async with self._free:
            if self._breaker.open:
                raise JudgeError("the judge failed time and again and is left alone for a while")
            self._breaker.tried()
            try:
                verdict = await self._insistently(episode)
            except JudgeError:
                self._breaker.failed()
                raise
            self._breaker.succeeded()
            return verdict

    async def _insistently(self, episode: Episode) -> Verdict:
        last = self._config.attempts - 1
        for attempt in range(last):
            try:
                return await self._once(episode)
            except JudgeError:
                await asyncio.sleep(self._config.pause_s * 2**attempt * self._random.uniform(0.5, 1))
        return await self._once(episode)

    async def _once(self, episode: Episode) -> Verdict:
        try:
            async with asyncio.timeout(self._config.timeout_s):
                return await self._judge.judge(episode)
        except TimeoutError as error:
            raise JudgeError(f"the judge took longer than {self._config.timeout_s:g} s") from error
