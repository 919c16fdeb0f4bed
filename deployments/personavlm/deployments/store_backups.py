"""`personavlm store backup`, `restore` and `erase-tenant`: while the service runs, or without one."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Console

from personavlm.deployments.memory_moves import Keepers
from personavlm.deployments.store_root import shard_name, store_root
from personavlm.memory_store.lifecycle.backup import (
    BackupManifest,
    erasures_of_store,
    finish_store_backup,
    restore_store,
)
from personavlm.memory_store.storage.layout import LayoutFile
from personavlm.memory_store.storage.objects import open_objects
from personavlm.platform.config import MemoryConfig

MB = 2**20


async def back_up(found: Keepers, config: MemoryConfig, target: str, console: Console) -> None:
    """Copy the whole store to an empty folder or prefix, without what it is encrypted with."""
    before = LayoutFile(store_root(config)).load(config.shards)
    taken: list[dict[int, BackupManifest]] = await found.gather("back_up", target, config.storage_options)
    shards = {number: manifest for each in taken for number, manifest in each.items()}
    finish_store_backup(
        store_root(config),
        open_objects(target, config.storage_options),
        [shard_name(number) for number in shards],
        before,
        datetime.now(UTC),
    )
    megabytes = sum(manifest.bytes for manifest in shards.values()) / MB
    console.print(f"{len(shards)} shards, {megabytes:,.1f} MB, stand in {target}.")
    if config.master_key_env or config.master_key_file:
        console.print(
            "The keys that it is encrypted with are not in it: keep the store's folder keys/ apart."
        )


def restore(config: MemoryConfig, source: str, erasures: str | None, console: Console) -> None:
    """Copy a backup to the configured place, which must be empty.

    ``erasures`` is a store whose erasures are done again in it, before anybody is served: the one that was
    lost, or a copy of its shards' folders ``erased/``.
    """
    erased = erasures_of_store(open_objects(erasures, config.storage_options)) if erasures else ()
    manifest = restore_store(open_objects(source, config.storage_options), store_root(config), erased)
    console.print(f"{len(manifest.shards)} shards as of {manifest.taken_at:%Y-%m-%d %H:%M} are restored.")
    if erasures:
        console.print(f"{len(erased)} erasures are done again when the store is opened.")
    else:
        console.print("What was erased since then is back: --erasures names a store that knows of it.")


async def erase_tenant(found: Keepers, tenant: str, console: Console) -> None:
    """Erase everything of a tenant, in every shard."""
    receipts = await found.erase_tenant(tenant)
    rows = sum(sum(receipt.rows.values()) for receipt in receipts)
    images = sum(receipt.images for receipt in receipts)
    console.print(f"{rows:,} rows and {images:,} images of {tenant} are erased; receipts:")
    for receipt in receipts:
        console.print(f"  {receipt.id}  {receipt.finished_at:%Y-%m-%d %H:%M:%S}")
