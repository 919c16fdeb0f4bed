"""`personavlm store export-tenant`, `import-tenant` and `usage`: while the service runs, or without one."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import astuple
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from personavlm.deployments.memory_moves import Keepers
from personavlm.memory_store import UserKey
from personavlm.memory_store.lifecycle.archive import Sink, write_tenant
from personavlm.memory_store.lifecycle.archive_reader import TenantArchive, UserArchive
from personavlm.memory_store.lifecycle.usage import Usage

MB = 2**20

Take = Callable[[UserKey, bytes], object]


async def export_tenant(found: Keepers, tenant: str, target: Path, vectors: bool, console: Console) -> None:
    """Write the archive of a tenant, each user as at the moment when it is the user's turn."""
    users = sorted(chain.from_iterable(await found.gather("users_of", tenant)))
    loop = asyncio.get_running_loop()

    def give(user: UserKey, file: Sink) -> None:
        file.write(
            asyncio.run_coroutine_threadsafe(found.at_home(user, "export_user", vectors), loop).result()
        )

    def write() -> None:
        with target.open("xb") as file:
            try:
                each = (partial(give, user) for user in track(users, "users", console=console))
                write_tenant(file, tenant, datetime.now(UTC), each, vectors=vectors)
            except BaseException:
                target.unlink()  # what is there by now is no archive
                raise

    await asyncio.to_thread(write)
    console.print(f"{len(users):,} users of {tenant} stand in {target}.")


async def import_tenant(found: Keepers, tenant: str, source: Path, replace: bool, console: Console) -> None:
    """Take in the users of an archive, each whole or not at all; if one fails, those before him stay."""
    loop = asyncio.get_running_loop()

    def take(user: UserKey, archive: bytes) -> None:
        asyncio.run_coroutine_threadsafe(found.at_home(user, "import_user", archive, replace), loop).result()

    count = await asyncio.to_thread(_take_all, tenant, source, take, console)
    console.print(f"{count:,} users of {tenant} are taken in.")


def _take_all(tenant: str, source: Path, take: Take, console: Console) -> int:
    with source.open("rb") as file, TenantArchive(file) as archive:
        total = len(archive.manifest.members)
        for user, data in track(_users(tenant, archive), "users", total, console=console):
            take(user, data)
        return total


def _users(tenant: str, archive: TenantArchive) -> Iterator[tuple[UserKey, bytes]]:
    for file in archive.files():
        with UserArchive(file) as one:
            user = UserKey(tenant, one.manifest.user)
        file.seek(0)
        yield user, file.read()


async def usage(found: Keepers, console: Console) -> None:
    """A table of what each tenant takes, over all shards."""
    of_tenant: dict[str, list[Usage]] = defaultdict(list)
    for of_shard in chain.from_iterable(await found.gather("usage")):
        for tenant, taken in of_shard.items():
            of_tenant[tenant].append(taken)
    table = Table()
    table.add_column("tenant")
    for title in ("users", "turns", "memories", "rows MB", "vectors MB", "images MB"):
        table.add_column(title, justify="right")
    for tenant, taken in sorted(of_tenant.items()):
        sums = [sum(figures) for figures in zip(*map(astuple, taken), strict=True)]
        counts, sizes = sums[:3], sums[3:]
        table.add_row(tenant, *(f"{n:,}" for n in counts), *(f"{n / MB:,.1f}" for n in sizes))
    console.print(table)
    console.print("rows and vectors before compression; a user counts once for each shard that holds some")
