"""A line that says how a long run goes; where nobody watches, one line for each step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Event, Thread

from rich.console import Console

SHOWN = (
    ("reward", "reward", ".2f"),
    ("reward_accuracy", "right", ".2f"),
    ("reward_consistency", "consistent", ".2f"),
    ("reward_form", "form", ".2f"),
    ("reward_retrievals", "searches", ".2f"),
    ("failed", "failed", ".0f"),
    ("rollout_tokens_per_second", "tok/s", ".0f"),
    ("learner_idle", "learner idle", ".0%"),
    ("mismatch_kl", "mismatch", ".1e"),
)
EVERY_S = 1.0


def line(figures: Mapping[str, float], steps: int) -> str:
    """One line."""
    parts = [f"{name} {figures[key]:{form}}" for key, name, form in SHOWN if key in figures]
    under_way = f"{figures.get('in_flight', 0):.0f} groups under way"
    return "  ".join([f"step {figures.get('step', 0):.0f}/{steps}", *parts, under_way])


class ProgressLine:
    """Shows what ``ask`` says until it is left. ``ask`` may return nothing for once."""

    def __init__(self, console: Console, steps: int, ask: Callable[[], Mapping[str, float] | None]) -> None:
        self._console, self._steps, self._ask = console, steps, ask
        self._over = Event()
        self._thread = Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> ProgressLine:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        shown = 0.0
        with self._console.status("starting learners") as status:
            while not self._over.wait(EVERY_S):
                figures = self._ask()
                if figures is None:
                    continue
                status.update(line(figures, self._steps))
                if not self._console.is_terminal and figures.get("step", 0) > shown:
                    shown = figures["step"]
                    self._console.print(line(figures, self._steps), soft_wrap=True)
