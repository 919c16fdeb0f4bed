"""`python -m personavlm.jobs.synthesize config.yaml key=value`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from personavlm.platform.errors import PlatformError


def main() -> int:
    """Run the job; the exit status is 0 on success, 1 on a problem that the message explains."""
    parser = argparse.ArgumentParser(prog="synthesize", description="Make training data of invented lives.")
    parser.add_argument("config", nargs="?", type=Path, help="YAML file of settings")
    parser.add_argument("settings", nargs="*", help="key=value, over those of the file")
    args = parser.parse_args()
    if args.config is not None and "=" in str(args.config):  # settings alone
        args.config, args.settings = None, [str(args.config), *args.settings]
    try:
        return _run(args.config, args.settings)
    except PlatformError as error:
        print(f"synthesize: {error}", file=sys.stderr)
        return 1


def _run(path: Path | None, settings: list[str]) -> int:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from personavlm.jobs.job_config import load_job
    from personavlm.jobs.synthesize.config import SynthesizeConfig
    from personavlm.jobs.synthesize.pipeline import synthesize

    config = load_job(SynthesizeConfig, path, settings)
    config = config.model_copy(update={"output": config.output.absolute()})
    columns = (TextColumn("personas"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("personas", total=config.personas)
        manifest = synthesize(config, lambda done, of: bar.update(task, completed=done, total=of))
    counts = ", ".join(f"{count:,} {what}" for what, count in manifest.counts.items())
    print(f"{config.output}: {counts}; see report.md", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
