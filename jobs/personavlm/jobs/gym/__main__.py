"""Prepare a folder of the gym and say what comes next."""

from __future__ import annotations

import sys

from personavlm.jobs.gym.config import GymConfig
from personavlm.jobs.job_config import run_job


def main() -> int:
    """0, or 1 on a problem that the message explains."""
    return run_job("gym", GymConfig, _run, __doc__)


def _run(config: GymConfig) -> None:
    from personavlm.jobs.gym.command import prepare, shown

    print(shown(prepare(config)))


if __name__ == "__main__":
    sys.exit(main())
