"""``python -m personavlm.jobs.gym [config.yaml] [key=value …]``"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from personavlm.jobs.gym.config import GymConfig
from personavlm.jobs.job_config import load_job
from personavlm.platform.errors import CommandError


def main() -> int:
    """Prepare the folder and say what comes next; 1 on a problem that the message explains."""
    parser = argparse.ArgumentParser(prog="python -m personavlm.jobs.gym", description=__doc__)
    parser.add_argument("config", nargs="?", help="a YAML file; settings may be given without one")
    parser.add_argument("settings", nargs="*", metavar="key=value")
    args = parser.parse_args()
    path, settings = args.config, args.settings
    if path and "=" in path:
        path, settings = None, [path, *settings]
    try:
        config = load_job(GymConfig, Path(path) if path else None, settings)
        print(_prepared(config))
    except CommandError as error:
        print(f"gym: {error}", file=sys.stderr)
        return 1
    return 0


def _prepared(config: GymConfig) -> str:
    try:
        from personavlm.jobs.gym.command import prepare, shown
    except ModuleNotFoundError as error:
        raise CommandError(
            f"the gym needs the extra `train` ({error.name} is missing): pip install 'personavlm[train]'"
        ) from error
    return shown(prepare(config))


if __name__ == "__main__":
    sys.exit(main())
