"""Evaluate a policy on fresh questions of the gym."""

from __future__ import annotations

import sys

from personavlm.jobs.evaluate.config import EvaluateConfig
from personavlm.jobs.job_config import run_job


def main() -> int:
    """0, or 1 on a problem that the message explains."""
    return run_job("evaluate", EvaluateConfig, _run, __doc__)


def _run(config: EvaluateConfig) -> None:
    from personavlm.jobs.evaluate.command import run

    run(config)


if __name__ == "__main__":
    sys.exit(main())
