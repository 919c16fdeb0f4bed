"""Where the jobs of a simulation are served: queues with servers, and processors that all jobs share.

Times are seconds of the simulation. Jobs that ask for no time at all pass through like any others.
"""

import heapq
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Literal, Protocol


@dataclass(slots=True)
class Job:
    """``visited`` stations it has left behind since it began."""

    kind: Literal["turn", "beside", "update"]
    began: float
    visited: int = 0


@dataclass(slots=True)
class Tally:
    """Server-seconds used, seconds that jobs stayed longer than they asked for, and jobs."""

    used_s: float = 0.0
    waited_s: float = 0.0
    served: int = 0


class Station(Protocol):
    """Takes jobs and gives them back, one at each of its ends."""

    servers: float
    tally: Tally

    def take(self, job: Job, seconds: float, now: float) -> None:
        """The job comes and asks for so many seconds of a server."""
        ...

    def next_end(self) -> float:
        """When the next job is done if no other comes; infinity if there is none."""
        ...

    def end(self, now: float) -> Job:
        """The job that is done now, at ``next_end``."""
        ...


@dataclass(slots=True)
class Queue:
    """Jobs that find all servers taken wait, turns before updates, each kind in order of arrival. A job that
    is served is not interrupted. With infinitely many servers it is a mere delay."""

    servers: float
    tally: Tally = field(default_factory=Tally)
    _busy: list[tuple[float, int, Job]] = field(default_factory=list)
    _urgent: deque[tuple[Job, float, float]] = field(default_factory=deque)
    _patient: deque[tuple[Job, float, float]] = field(default_factory=deque)
    _order: Iterator[int] = field(default_factory=count)

    def take(self, job: Job, seconds: float, now: float) -> None:
        """Serve the job, or let it wait."""
        if len(self._busy) < self.servers:
            self._serve(job, seconds, now, now)
        else:
            (self._patient if job.kind == "update" else self._urgent).append((job, seconds, now))

    def next_end(self) -> float:
        """Of the job whose service ends first."""
        return self._busy[0][0] if self._busy else math.inf

    def end(self, now: float) -> Job:
        """The next of those who wait takes its server."""
        _, _, job = heapq.heappop(self._busy)
        if waiting := self._urgent or self._patient:
            following, seconds, came = waiting.popleft()
            self._serve(following, seconds, came, now)
        return job

    def _serve(self, job: Job, seconds: float, came: float, now: float) -> None:
        heapq.heappush(self._busy, (now + seconds, next(self._order), job))
        self.tally.used_s += seconds
        self.tally.waited_s += now - came
        self.tally.served += 1


@dataclass(slots=True)
class Processors:
    """All jobs run at once and at the same speed: full while there are no more of them than processors, an
    equal share beyond. So an operating system serves threads, to which an update is like a turn."""

    servers: float
    tally: Tally = field(default_factory=Tally)
    _jobs: list[tuple[float, int, Job, float, float]] = field(default_factory=list)
    _done: float = 0.0
    """Seconds of work that a job has got which was there from the start; jobs end in its order."""
    _at: float = 0.0
    _order: Iterator[int] = field(default_factory=count)

    def take(self, job: Job, seconds: float, now: float) -> None:
        """From here on each has a smaller share."""
        self._advance(now)
        heapq.heappush(self._jobs, (self._done + seconds, next(self._order), job, seconds, now))

    def next_end(self) -> float:
        """Of the job that needs least, at the speed of now."""
        return self._at + (self._jobs[0][0] - self._done) / self._speed() if self._jobs else math.inf

    def end(self, now: float) -> Job:
        """From here on each has a greater share."""
        self._advance(now)
        _, _, job, seconds, came = heapq.heappop(self._jobs)
        self.tally.waited_s += now - came - seconds
        self.tally.served += 1
        return job

    def _speed(self) -> float:
        return min(1.0, self.servers / len(self._jobs))

    def _advance(self, now: float) -> None:
        if self._jobs:
            self._done += (now - self._at) * self._speed()
            self.tally.used_s += (now - self._at) * min(self.servers, len(self._jobs))
        self._at = now
