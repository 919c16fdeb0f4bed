"""How the personality that the service inferred moved over the months: in numbers and in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.table import Table

from personavlm.memory_store import NEUTRAL, TRAITS

BARS = "▁▂▃▄▅▆▇█"
POINTS = 32  # of the line in the terminal


@dataclass(frozen=True, slots=True)
class Curve:
    """The trait scores (1 to 5) from each of ``times`` on, oldest first; the last time is the present."""

    times: tuple[datetime, ...]
    values: Mapping[str, tuple[float, ...]]

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest score, with the neutral one between them."""
        scores = [score for line in self.values.values() for score in line]
        return min(*scores, NEUTRAL), max(*scores, NEUTRAL)


def read_curve(profile: Mapping[str, Any], start: datetime, end: datetime) -> Curve:
    """The curve of ``GET …/profile`` from the first turn at ``start`` until ``end``, in its time zone."""
    versions = [v for v in profile["history"] if v["cause"] != "start"]
    times = [datetime.fromisoformat(v["event_time"]).astimezone(end.tzinfo) for v in versions]
    return Curve(
        times=(start, *times, end),
        values={
            trait: (NEUTRAL, *(v["traits"][trait] for v in versions), profile["traits"][trait])
            for trait in TRAITS
        },
    )


def personality_table(curve: Curve, descriptors: Sequence[str]) -> Table:
    """One line per trait: how it moved, where it began and where it is now."""
    low, high = curve.limits
    caption = f"bars from {low:.1f} to {high:.1f}, where 3 is neutral; in words: {', '.join(descriptors)}"
    first, last = curve.times[0], curve.times[-1]
    table = Table(title=f"Personality, {first:%-d %B} to {last:%-d %B %Y}", caption=caption)
    for name in ("trait", "over time", "start", "now"):
        table.add_column(name, no_wrap=True)
    for trait, values in curve.values.items():
        line = "".join(_bar(value, low, high) for value in _sampled(curve.times, values))
        table.add_row(trait, line, f"{values[0]:.1f}", f"{values[-1]:.1f}")
    return table


def _bar(value: float, low: float, high: float) -> str:
    share = (value - low) / (high - low) if high > low else 0.5
    return BARS[round(share * (len(BARS) - 1))]


def _sampled(times: Sequence[datetime], values: Sequence[float]) -> list[float]:
    """The value in force at `POINTS` evenly spaced moments from the first to the last time."""
    step = (times[-1] - times[0]) / (POINTS - 1)
    moments = [times[0] + step * point for point in range(POINTS - 1)] + [times[-1]]
    return [values[sum(time <= moment for time in times) - 1] for moment in moments]
