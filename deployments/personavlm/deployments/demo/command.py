"""`personavlm demo`: start everything on this machine, show it, and stay up to be talked to."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import threading
import time
from pathlib import Path

from rich.console import Console

from personavlm.deployments.app import running
from personavlm.deployments.client import ServiceError
from personavlm.deployments.demo.run import DemoReport, run
from personavlm.deployments.keys import create_key
from personavlm.deployments.signals import when_asked_to_stop
from personavlm.deployments.start_checks import StartError
from personavlm.platform.config import Config, MemoryConfig, ServiceConfig

PLOT = Path("demo-personality.png")


def run_command(args: argparse.Namespace) -> int:
    """What the demo keeps lives in a temporary folder and goes with it."""
    console = Console()
    try:
        with tempfile.TemporaryDirectory(prefix="personavlm-demo-") as folder:
            _demonstrate(args, Path(folder), console)
    except (StartError, ServiceError) as error:
        print(f"personavlm: {error}", file=sys.stderr)
        return 1
    return 0


def _demonstrate(args: argparse.Namespace, folder: Path, console: Console) -> None:
    keys = folder / "keys.json"
    key = create_key(keys, "demo", replay=True, name="demo")
    config = Config(
        service=ServiceConfig(port=args.port, keys_file=keys), memory=MemoryConfig(uri=str(folder / "memory"))
    )
    started = time.perf_counter()
    console.print("Starting Ray, two memory actors, the policy and the ingress …")
    with running(config) as url:
        ready_s = time.perf_counter() - started
        console.print(f"Ready after {ready_s:.0f} s at {url}")
        report = asyncio.run(run(url, key, ready_s=ready_s, plot=PLOT, console=console))
        if args.once:
            _write(report, args.report, console)
            return
        console.print("\nIt stays up; Ctrl-C ends it.")
        stop = threading.Event()
        when_asked_to_stop(stop.set)
        stop.wait()


def _write(report: DemoReport, path: Path, console: Console) -> None:
    report.write(path)
    console.print(f"\nReport: {path}")
