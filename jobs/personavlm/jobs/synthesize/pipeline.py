"""The run: plan, words, supervision and checks of every persona, as a Ray Data pipeline; then one result.

A persona is the unit of work: what is whole of an interrupted run stays, the rest is made again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from personavlm.jobs.synthesize.assembly import assemble
from personavlm.jobs.synthesize.config import SynthesizeConfig
from personavlm.jobs.synthesize.life import Plan
from personavlm.jobs.synthesize.manifest import Manifest, claim
from personavlm.jobs.synthesize.parts import PartStatistics, read_statistics
from personavlm.jobs.synthesize.plan import plan_life
from personavlm.platform.errors import CommandError, PlatformError

Progress = Callable[[int, int], None]


def synthesize(config: SynthesizeConfig, progress: Progress = lambda done, of: None) -> Manifest:
    """Make the data of a configuration, or what is missing of it. ``progress`` is told personas done and all.

    Raises `ConfigError` for an output folder of another run, `CommandError` where the generator fails.
    """
    if find_spec("pandas") is None:
        raise CommandError("synthesis needs the extra `train`: pip install personavlm[train]")
    manifest = claim(config)
    if manifest.finished:
        shutil.rmtree(config.output / "parts", ignore_errors=True)  # where the run was killed just there
        return manifest
    numbers = range(config.first_persona, config.first_persona + config.personas)
    users = {number: plan_life(config, number).persona.user for number in numbers}
    missing = [number for number, user in users.items() if read_statistics(config.output, user) is None]
    progress(len(numbers) - len(missing), len(numbers))
    if missing:
        _make(config, missing, lambda done: progress(len(numbers) - len(missing) + done, len(numbers)))
    return assemble(config.output, manifest, [_whole(config, user) for user in users.values()])


def _whole(config: SynthesizeConfig, user: str) -> PartStatistics:
    statistics = read_statistics(config.output, user)
    if statistics is None:
        raise RuntimeError(f"the pipeline ended without {user}; is {config.output} shared by all nodes?")
    return statistics


def _make(config: SynthesizeConfig, numbers: list[int], done: Callable[[int], None]) -> None:
    """Run the pipeline over some personas. A row is a persona, and so is a block: all workers have some."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when Ray is imported
    if config.ray_address is None:
        os.environ.setdefault(
            "RAY_AUTH_MODE", "disabled"
        )  # one machine, loopback only: no token to hand around
    import ray
    import ray.data

    started = not ray.is_initialized()
    if started:
        ray.init(
            address=config.ray_address, include_dashboard=False, log_to_driver=False, logging_level="warning"
        )
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    settings = config.model_dump(mode="json")
    rows = ray.data.from_items([{"number": number} for number in numbers], override_num_blocks=len(numbers))
    made = rows.map(plan_row, fn_args=(settings,), num_cpus=0.1).map(
        MakeLives,
        fn_constructor_args=(settings,),
        compute=ray.data.ActorPoolStrategy(size=min(config.workers, len(numbers))),
        num_cpus=config.cpus_per_worker,
        num_gpus=config.gpus_per_worker,
    )
    try:
        for count, row in enumerate(made.iter_rows(), 1):
            if row["problem"]:
                raise CommandError(
                    f"{row['problem']}; what is whole stays: the same command goes on from there"
                )
            done(count)
    finally:
        if started:
            ray.shutdown()


def plan_row(row: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Stage one: from a number to person, traits, dates, and what is told when."""
    config = SynthesizeConfig.model_validate(settings)
    return {"plan": plan_life(config, int(row["number"])).model_dump_json()}


class MakeLives:
    """Stage two: words, supervision and checks; one engine serves them all, so they share a process."""

    def __init__(self, settings: dict[str, Any]) -> None:
        from personavlm.jobs.synthesize.making import (
            LifeMaker,
        )  # LanceDB threads would not survive Ray's forks

        self._config = SynthesizeConfig.model_validate(settings)
        self._maker = LifeMaker(self._config)
        self._loop = asyncio.new_event_loop()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        plan = Plan.model_validate_json(row["plan"])
        try:
            self._loop.run_until_complete(self._maker.make(plan))
        except PlatformError as error:  # said by the process that the user started, without Ray's wrappings
            return {"problem": f"{plan.persona.user}: {error}"}
        return {"problem": ""}
