"""One run of SFT, from its settings to its last checkpoint."""

from __future__ import annotations

from pathlib import Path

import ray

from personavlm.jobs.learning.workers import fit, require_room
from personavlm.jobs.run_folder import claim
from personavlm.jobs.sft.config import SftConfig
from personavlm.jobs.sft.loop import SftRun, checkpoints_of, train_loop
from personavlm.jobs.sft.order import steps_of
from personavlm.jobs.sft.preparation import prepare
from personavlm.jobs.sft.progress import shown
from personavlm.platform.errors import CommandError


def run(config: SftConfig) -> Path:
    """Fine-tune, or continue; the folder of the last checkpoint. Raises `CommandError`.

    Everything that can be known to be wrong is said before any learner is started.
    """
    config = config.model_copy(update={"output": config.output.absolute(), "data": config.data.absolute()})
    claim(config.output, config)
    prepared = prepare(config)
    steps = config.steps or steps_of(len(prepared.usable), config.batch_size, config.epochs)
    print(
        f"SFT: {len(prepared.usable)} conversations, {steps} steps of {config.batch_size}; left out: "
        f"{prepared.too_long} longer than {config.policy.max_tokens} tokens, "
        f"{prepared.untrained} without targets"
    )
    if not ray.is_initialized():
        ray.init(config.ray_address, include_dashboard=False, log_to_driver=False)
    require_room(config)
    with shown(config.output, steps):
        fit(train_loop, SftRun(config, prepared, steps), config, config.output, "sft")
    newest = checkpoints_of(config).newest()
    if newest is None:
        raise CommandError(f"no checkpoint came to be in {config.output}")
    return newest.path
