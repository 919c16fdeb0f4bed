"""`python -m personavlm.jobs.grpo`: plan, start, learn, draw."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from rich.console import Console

from personavlm.jobs.curves import Panel, draw_curves
from personavlm.jobs.grpo.config import GrpoConfig
from personavlm.jobs.grpo.feed_actor import GrpoFeed
from personavlm.jobs.grpo.figures import read_metrics
from personavlm.jobs.grpo.planner import needs, require_room, table_of
from personavlm.jobs.grpo.progress import ProgressLine
from personavlm.jobs.grpo.workers import reason_of
from personavlm.jobs.learning.feed import GrpoRun
from personavlm.jobs.learning.saved import SavedCheckpoints
from personavlm.jobs.run_folder import claim
from personavlm.platform.errors import CommandError

NAME = "grpo"
ASK_S = 10.0
CALLS_AT_ONCE = 64
REWARD_PARTS = ("reward", "reward_accuracy", "reward_consistency", "reward_form", "reward_retrievals")
MISMATCH = ("mismatch_kl", "mismatch_logprob", "kl")


def run(config: GrpoConfig, console: Console) -> Path:
    """Train as configured; the folder of the newest checkpoint. Raises `CommandError`."""
    claim(config.output, config)
    config.images.mkdir(exist_ok=True)
    own = not ray.is_initialized()
    if own:
        # Without an address Ray would join whatever other cluster runs on this machine.
        address = os.environ.get("RAY_ADDRESS") or "local"
        new: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **new)
    try:
        return _run(config, console)
    finally:
        if own:
            ray.shutdown()


def _run(config: GrpoConfig, console: Console) -> Path:
    nodes = {node["NodeID"][:8]: node["Resources"] for node in ray.nodes() if node["Alive"]}
    asked = needs(config)
    console.print(table_of(asked, nodes))
    require_room(asked, nodes)
    feed = ray.remote(GrpoFeed).options(num_cpus=0, max_concurrency=CALLS_AT_ONCE).remote(config)
    try:
        _start(feed, config)
        _fit(feed, config, console)
        stopped = ray.get(feed.stopped.remote(), timeout=ASK_S)
    finally:
        ray.kill(feed)  # its workers go with it
    draw(config.output)
    newest = SavedCheckpoints(config.output / "checkpoints", config.learner.checkpoints.keep).newest()
    if stopped:
        kept = f"; what was learned until then is in {newest.path}" if newest else ""
        raise CommandError(f"{stopped}{kept}; the same command continues")
    if newest is None:
        raise CommandError(f"the run left no checkpoint in {config.output / 'checkpoints'}")
    console.print(f"checkpoint {newest.path}\ncurves     {config.output / 'curves.png'}")
    return newest.path


def _start(feed: Any, config: GrpoConfig) -> None:  # noqa: ANN401 - Ray's handles have no type
    try:
        ray.get(feed.start.remote(), timeout=2 * config.rollouts.start_timeout_s)
    except ray.exceptions.RayError as error:
        raise CommandError(f"the run cannot start: {reason_of(error)}") from error


def _fit(feed: Any, config: GrpoConfig, console: Console) -> None:  # noqa: ANN401
    from personavlm.jobs.learning.grpo_loop import train_loop
    from personavlm.jobs.learning.workers import fit

    def ask() -> Mapping[str, float] | None:
        try:
            figures: Mapping[str, float] = ray.get(feed.progress.remote(), timeout=ASK_S)
        except ray.exceptions.RayError:  # it is busy, or gone: then the learners say why
            return None
        return figures

    given = GrpoRun(config.learner, feed, config.output, config.images, config.updates)
    with ProgressLine(console, config.updates, ask):
        fit(train_loop, given, config.learner, config.output, NAME)


def draw(output: Path) -> None:
    """The curves of a run, as far as it got."""
    metrics = read_metrics(output / "metrics.jsonl")
    panels = [
        Panel(title, {key: [(one["step"], one[key]) for one in metrics if key in one] for key in keys})
        for title, keys in (("reward and its parts", REWARD_PARTS), ("sampler and learner", MISMATCH))
    ]
    draw_curves(panels, output / "curves.png")
