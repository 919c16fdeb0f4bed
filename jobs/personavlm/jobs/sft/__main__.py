"""``python -m personavlm.jobs.sft [config.yaml] [key=value …]``"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from personavlm.jobs.sft.config import SftConfig
from personavlm.platform.errors import CommandError, PlatformError


def main() -> int:
    """Fine-tune and say where the checkpoint is; 1 on a problem that the message explains."""
    parser = argparse.ArgumentParser(prog="python -m personavlm.jobs.sft", description=__doc__)
    parser.add_argument("config", nargs="?", help="a YAML file; settings may be given without one")
    parser.add_argument("settings", nargs="*", metavar="key=value")
    args = parser.parse_args()
    from personavlm.jobs.job_config import load_job

    path, settings = args.config, args.settings
    if path and "=" in path:
        path, settings = None, [path, *settings]
    try:
        config = load_job(SftConfig, Path(path) if path else None, settings)
        print(f"checkpoint: {_run(config)}")
    except PlatformError as error:
        print(f"sft: {error}", file=sys.stderr)
        return 1
    return 0


def _run(config: SftConfig) -> Path:
    try:
        from personavlm.jobs.sft.command import run
    except ModuleNotFoundError as error:
        raise CommandError(
            f"SFT needs the extra `train` ({error.name} is missing): pip install 'personavlm[train]'"
        ) from error
    return run(config)


if __name__ == "__main__":
    sys.exit(main())
