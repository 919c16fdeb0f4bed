"""Fine-tune a policy, or go on with a run that was stopped."""

from __future__ import annotations

import sys

from personavlm.jobs.job_config import run_job
from personavlm.jobs.sft.config import SftConfig


def main() -> int:
    """0, or 1 on a problem that the message explains."""
    return run_job("sft", SftConfig, _run, __doc__)


def _run(config: SftConfig) -> None:
    from personavlm.jobs.sft.command import run

    print(f"checkpoint: {run(config)}")


if __name__ == "__main__":
    sys.exit(main())
