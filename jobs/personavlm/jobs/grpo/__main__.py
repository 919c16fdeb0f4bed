"""Train a policy by GRPO, or go on with a run that was stopped."""

from __future__ import annotations

import sys

from personavlm.jobs.grpo.config import GrpoConfig
from personavlm.jobs.job_config import run_job


def main() -> int:
    """0, or 1 on a problem that the message explains."""
    return run_job("grpo", GrpoConfig, _run, __doc__)


def _run(config: GrpoConfig) -> None:
    from rich.console import Console

    from personavlm.jobs.grpo.command import run

    run(config, Console())


if __name__ == "__main__":
    sys.exit(main())
