"""A discrete-event simulation of turns that queue for what they need, and of the updates that follow them.

A job visits stations one after the other. A station has some servers; jobs that find all of them taken wait,
turns before updates, each kind in order of arrival. A job that is served is not interrupted.
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count


@dataclass(frozen=True, slots=True)
class Visit:
    """A stay at a station. ``seconds`` is the mean of its service, ``spread`` its standard deviation by its
    mean: 0 is a constant, 1 an exponential time, others are log-normal."""

    station: str
    seconds: float
    spread: float = 1.0

    def sample(self, chance: random.Random) -> float:
        """One service time."""
        if self.spread == 0 or self.seconds == 0:
            return self.seconds
        if self.spread == 1:
            return chance.expovariate(1 / self.seconds)
        variance = math.log(1 + self.spread**2)
        return self.seconds * math.exp(chance.gauss(-variance / 2, math.sqrt(variance)))


@dataclass(frozen=True, slots=True)
class Load:
    """``rate`` turns a second (Poisson) that make these visits; each then starts an update with its own."""

    rate: float
    turn: Sequence[Visit]
    update: Sequence[Visit] = ()


@dataclass(slots=True)
class _Job:
    visits: Sequence[Visit]
    urgent: bool
    began: float
    next: int = 0
    arrived: float = 0.0


@dataclass(slots=True)
class _Station:
    servers: float
    busy: int = 0
    busy_s: float = 0.0
    waited_s: float = 0.0
    served: int = 0
    urgent: deque[_Job] = field(default_factory=deque)
    patient: deque[_Job] = field(default_factory=deque)


@dataclass(frozen=True, slots=True)
class Outcome:
    """``turns_s`` and ``updates_s``: from arrival to end of each that ended, sorted. By station: the share of
    its servers' time that was used (0 where it has no bound), and the mean wait for it in seconds."""

    turns_s: Sequence[float]
    updates_s: Sequence[float]
    used: Mapping[str, float]
    waited_s: Mapping[str, float]

    def percentile(self, share: float) -> float:
        """Seconds within which this share of the turns ended."""
        return self.turns_s[min(int(share * len(self.turns_s)), len(self.turns_s) - 1)]


class Simulation:
    """``servers`` by station, ``math.inf`` for a mere delay. The first tenth of the turns does not count."""

    def __init__(self, servers: Mapping[str, float], load: Load, turns: int, seed: int = 1) -> None:
        self._stations = {name: _Station(number) for name, number in servers.items()}
        self._load, self._turns, self._chance = load, turns, random.Random(seed)
        self._events: list[tuple[float, int, _Job]] = []  # an end of a stay, or an arrival
        self._order = count()
        self._since = 0.0
        self._ended: dict[bool, list[float]] = {True: [], False: []}

    def run(self) -> Outcome:
        """Let so many turns come; what became of them."""
        arrived, now, next_arrival, last = 0, 0.0, 0.0, 0.0
        while arrived < self._turns or self._events:
            if arrived < self._turns and (not self._events or next_arrival <= self._events[0][0]):
                now = next_arrival
                if arrived == self._turns // 10:
                    self._start_counting(now)
                self._arrive(_Job(self._load.turn, True, now), now)
                arrived, last = arrived + 1, now
                next_arrival += self._chance.expovariate(self._load.rate)
            else:
                now, _, job = heapq.heappop(self._events)
                self._leave(job, now)
        return self._outcome(last)

    def _start_counting(self, now: float) -> None:
        self._since = now
        self._ended = {True: [], False: []}
        for station in self._stations.values():
            station.busy_s = station.waited_s = 0.0
            station.served = 0

    def _arrive(self, job: _Job, now: float) -> None:
        """The job comes to its next station, or ends."""
        if job.next == len(job.visits):
            self._end(job, now)
            return
        station = self._stations[job.visits[job.next].station]
        job.arrived = now
        if station.busy < station.servers:
            self._serve(station, job, now)
        else:
            (station.urgent if job.urgent else station.patient).append(job)

    def _serve(self, station: _Station, job: _Job, now: float) -> None:
        seconds = job.visits[job.next].sample(self._chance)
        station.busy += 1
        station.busy_s += seconds
        station.waited_s += now - job.arrived
        station.served += 1
        heapq.heappush(self._events, (now + seconds, next(self._order), job))

    def _leave(self, job: _Job, now: float) -> None:
        station = self._stations[job.visits[job.next].station]
        station.busy -= 1
        if waiting := station.urgent or station.patient:
            self._serve(station, waiting.popleft(), now)
        job.next += 1
        self._arrive(job, now)

    def _end(self, job: _Job, now: float) -> None:
        if job.began >= self._since:
            self._ended[job.urgent].append(now - job.began)
        if job.urgent and self._load.update:
            self._arrive(_Job(self._load.update, False, now), now)

    def _outcome(self, until: float) -> Outcome:
        span = until - self._since
        return Outcome(
            sorted(self._ended[True]),
            sorted(self._ended[False]),
            {name: each.busy_s / (span * each.servers) for name, each in self._stations.items()},
            {name: each.waited_s / max(each.served, 1) for name, each in self._stations.items()},
        )


def mean_wait_s(rate: float, service_s: float, servers: int) -> float:
    """The mean wait in a queue M/M/c, by Erlang's formula C (1917). ValueError where it never settles."""
    offered = rate * service_s
    if offered >= servers:
        raise ValueError(f"{offered:.2f} servers' work for {servers} servers")
    terms = [offered**n / math.factorial(n) for n in range(servers)]
    last = offered**servers / math.factorial(servers) * servers / (servers - offered)
    return last / (sum(terms) + last) * service_s / (servers - offered)
