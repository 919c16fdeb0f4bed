"""Make training data of invented lives."""

from __future__ import annotations

import sys

from personavlm.jobs.job_config import run_job
from personavlm.jobs.synthesize.config import SynthesizeConfig


def main() -> int:
    """0, or 1 on a problem that the message explains."""
    return run_job("synthesize", SynthesizeConfig, _run, __doc__)


def _run(config: SynthesizeConfig) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from personavlm.jobs.synthesize.pipeline import synthesize

    config = config.model_copy(update={"output": config.output.absolute()})
    columns = (TextColumn("personas"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("personas", total=config.personas)
        manifest = synthesize(config, lambda done, of: bar.update(task, completed=done, total=of))
    counts = ", ".join(f"{count:,} {what}" for what, count in manifest.counts.items())
    print(f"{config.output}: {counts}; see report.md", flush=True)


if __name__ == "__main__":
    sys.exit(main())
