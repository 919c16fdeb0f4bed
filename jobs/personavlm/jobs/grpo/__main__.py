"""``python -m personavlm.jobs.grpo config.yaml [key=value …]``"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from personavlm.platform.errors import PlatformError


def main() -> int:
    """Train; 1 on a problem that the message explains."""
    parser = argparse.ArgumentParser(prog="python -m personavlm.jobs.grpo", description=__doc__)
    parser.add_argument("config", type=Path, help="a YAML file")
    parser.add_argument("settings", nargs="*", metavar="key=value")
    args = parser.parse_args()
    from rich.console import Console

    from personavlm.jobs.grpo.command import run
    from personavlm.jobs.grpo.config import GrpoConfig
    from personavlm.jobs.job_config import load_job

    try:
        run(load_job(GrpoConfig, args.config, args.settings), Console())
    except PlatformError as error:
        print(f"grpo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
