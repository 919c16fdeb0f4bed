"""``python -m personavlm.jobs.evaluate [config.yaml] [key=value …]``"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from personavlm.platform.errors import CommandError


def main() -> int:
    """Evaluate and print; 1 on a problem that the message explains."""
    parser = argparse.ArgumentParser(prog="python -m personavlm.jobs.evaluate", description=__doc__)
    parser.add_argument("config", nargs="?", help="a YAML file; settings may be given without one")
    parser.add_argument("settings", nargs="*", metavar="key=value")
    args = parser.parse_args()
    from personavlm.jobs.evaluate.command import run
    from personavlm.jobs.evaluate.config import EvaluateConfig
    from personavlm.jobs.job_config import load_job

    path, settings = args.config, args.settings
    if path and "=" in path:
        path, settings = None, [path, *settings]
    try:
        run(load_job(EvaluateConfig, Path(path) if path else None, settings))
    except CommandError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
