"""A discrete-event simulation of turns that compete for what they need, and of the updates that follow them.

A job visits stations one after the other; in queues turns go before updates.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.benchmarks.capacity_parts.stations import Job, Station, Tally


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
    """``rate`` turns a second (Poisson) that make these visits; each then starts an update with its own. What
    is made ``beside`` a turn begins with it, is urgent too, and nobody waits for its end."""

    rate: float
    turn: Sequence[Visit]
    update: Sequence[Visit] = ()
    beside: Sequence[Visit] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """``turns_s`` and ``updates_s``: from arrival to end of each that ended, sorted. By station: the share of
    its servers' time that was used (0 where it has no bound), and by how much a visit took longer than it had
    asked for, in seconds, on average."""

    turns_s: Sequence[float]
    updates_s: Sequence[float]
    used: Mapping[str, float]
    waited_s: Mapping[str, float]

    def percentile(self, share: float) -> float:
        """Seconds within which this share of the turns ended."""
        return self.turns_s[min(int(share * len(self.turns_s)), len(self.turns_s) - 1)]


class Simulation:
    """Of new stations, by name. The first tenth of the turns does not count."""

    def __init__(self, stations: Mapping[str, Station], load: Load, turns: int, seed: int = 1) -> None:
        self._stations, self._rate, self._turns = stations, load.rate, turns
        self._visits = {"turn": load.turn, "beside": load.beside, "update": load.update}
        self._chance = random.Random(seed)
        self._since = 0.0
        self._ended: dict[str, list[float]] = {kind: [] for kind in self._visits}

    def run(self) -> Outcome:
        """Let so many turns come; what became of them."""
        arrived, next_arrival, last = 0, 0.0, 0.0
        while True:
            station = min(self._stations.values(), key=lambda each: each.next_end())
            now = station.next_end()
            if arrived < self._turns and next_arrival <= now:
                if arrived == self._turns // 10:
                    self._start_counting(next_arrival)
                self._begin(next_arrival)
                arrived, last = arrived + 1, next_arrival
                next_arrival += self._chance.expovariate(self._rate)
            elif now < math.inf:
                self._go_on(station.end(now), now)
            else:
                return self._outcome(last)

    def _start_counting(self, now: float) -> None:
        self._since = now
        self._ended = {kind: [] for kind in self._ended}
        for station in self._stations.values():
            station.tally = Tally()

    def _begin(self, now: float) -> None:
        self._visit(Job("turn", now), now)
        if self._visits["beside"]:
            self._visit(Job("beside", now), now)

    def _visit(self, job: Job, now: float) -> None:
        visit = self._visits[job.kind][job.visited]
        self._stations[visit.station].take(job, visit.sample(self._chance), now)

    def _go_on(self, job: Job, now: float) -> None:
        """The job goes to its next station, or ends."""
        job.visited += 1
        if job.visited < len(self._visits[job.kind]):
            self._visit(job, now)
            return
        if job.began >= self._since:
            self._ended[job.kind].append(now - job.began)
        if job.kind == "turn" and self._visits["update"]:
            self._visit(Job("update", now), now)

    def _outcome(self, until: float) -> Outcome:
        span = until - self._since
        stations = self._stations.items()
        return Outcome(
            sorted(self._ended["turn"]),
            sorted(self._ended["update"]),
            {name: each.tally.used_s / (span * each.servers) for name, each in stations},
            {name: each.tally.waited_s / max(each.tally.served, 1) for name, each in stations},
        )


def mean_wait_s(rate: float, service_s: float, servers: int) -> float:
    """The mean wait in a queue M/M/c, by Erlang's formula C (1917). ValueError where it never settles."""
    offered = rate * service_s
    if offered >= servers:
        raise ValueError(f"{offered:.2f} servers' work for {servers} servers")
    terms = [offered**n / math.factorial(n) for n in range(servers)]
    last = offered**servers / math.factorial(servers) * servers / (servers - offered)
    return last / (sum(terms) + last) * service_s / (servers - offered)
