"""`personavlm store`: looks after the store, through the service if one runs, by itself if none does."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from personavlm.deployments.local_ray import running_address
from personavlm.deployments.memory_moves import InProcess, Keepers, Mover
from personavlm.deployments.memory_pool import NAMESPACE, PASSING, MemoryPool
from personavlm.deployments.open_stores import open_stores
from personavlm.deployments.store_archives import export_tenant, import_tenant, usage
from personavlm.deployments.store_backups import back_up, erase_tenant, restore
from personavlm.deployments.store_root import store_root
from personavlm.memory_store import InUseError, StoreError
from personavlm.memory_store.lifecycle.stats import StoreStats
from personavlm.memory_store.storage.layout import Layout, LayoutFile
from personavlm.platform.config import Config
from personavlm.platform.encoders.build import build_matcher
from personavlm.platform.encoders.minilm import MiniLmEncoder
from personavlm.platform.errors import CommandError

MB = 2**20


def run(args: argparse.Namespace, config: Config) -> None:
    """Carry out one command. CommandError."""
    try:
        if args.action == "restore":
            restore(config.memory, args.source, args.erasures, Console())
            return
        with keepers(config) as found:
            _with_keepers(args, config, found)
    except InUseError as error:
        raise CommandError(
            f"{error}; if that is a service on another cluster, name it as ray_address in the configuration"
        ) from error
    except (*PASSING, StoreError, ValueError, OSError) as error:
        raise CommandError(f"{getattr(error, 'cause', error)}") from error


def _with_keepers(args: argparse.Namespace, config: Config, found: Keepers) -> None:
    match args.action:
        case "grow":
            _grow(found, config, args.shards)
        case "backup":
            asyncio.run(back_up(found, config.memory, args.target, Console()))
        case "erase-tenant":
            asyncio.run(erase_tenant(found, args.tenant, Console()))
        case "export-tenant":
            asyncio.run(export_tenant(found, args.tenant, args.target, args.vectors, Console(stderr=True)))
        case "import-tenant":
            asyncio.run(import_tenant(found, args.tenant, args.source, args.replace, Console(stderr=True)))
        case "usage":
            asyncio.run(usage(found, Console()))
        case _:
            asyncio.run(_status(found, Console()))


@contextmanager
def keepers(config: Config) -> Iterator[Keepers]:
    """Whoever has the shards open: the actors of the running service, or else this process."""
    # RAY_ADDRESS is what Ray itself goes by; the containers of KubeRay have it.
    address = config.ray_address or os.environ.get("RAY_ADDRESS") or running_address(config.memory.uri)
    if address:
        ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level="ERROR")
        try:
            if pool := MemoryPool.running(config):
                yield pool
                return
        finally:
            ray.shutdown()
    stores = open_stores(config.memory, MiniLmEncoder(), build_matcher(config.images))
    try:
        yield InProcess(stores)
    finally:
        stores.close()


def _grow(found: Keepers, config: Config, shards: int) -> None:
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("buckets moved", total=None)
        file = LayoutFile(store_root(config.memory))
        mover = Mover(found, file, lambda arrived, of: bar.update(task, completed=arrived, total=of))
        layout = asyncio.run(mover.grow(shards))
    console.print(f"The store has {layout.shards} shards.")


async def _status(found: Keepers, console: Console) -> None:
    layouts: list[Layout] = await found.gather("layout")
    answers: list[dict[int, StoreStats]] = await found.gather("stats")
    shards = {shard: stats for answer in answers for shard, stats in answer.items()}
    table = Table()
    for title in ("shard", "buckets", "users", "waiting", "rows", "fragments", "tail", "MB", "cached MB"):
        table.add_column(title, justify="right")
    for shard, stats in sorted(shards.items()):
        figures: tuple[int | float, ...] = (
            shard,
            layouts[0].home.count(shard),
            stats.users,
            stats.pending_users,
            sum(stats.rows.values()),
            sum(stats.fragments.values()),
            stats.tail_rows,
            sum(stats.bytes.values()) / MB,
            stats.cached_bytes / MB,
        )
        style = "bold red" if stats.tail_failure else None
        table.add_row(*(f"{n:,.1f}" if isinstance(n, float) else f"{n:,}" for n in figures), style=style)
    console.print(table)
    console.print("waiting: users whose turns wait for the update stage; tail: rows not yet in the tables")
    if layouts[0].moving or layouts[0].left or layouts[0].next_moves():
        console.print(f"Buckets are to move: `personavlm store grow --shards {layouts[0].shards}` does it.")
