"""From the configuration to the store: its map of buckets, its encryption, its shards."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from personavlm.memory_store import BusyError, ImageEncoder, InUseError, MemoryStore, TextEncoder
from personavlm.memory_store.storage.keyring import Keyring, MasterKey
from personavlm.memory_store.storage.layout import LayoutFile
from personavlm.memory_store.storage.objects import Objects, open_objects
from personavlm.memory_store.storage.sealing import InTheClear, Protection, Sealer
from personavlm.memory_store.storage.settings import StorageSettings
from personavlm.memory_store.stores import AtHome, Stores
from personavlm.platform.config import MemoryConfig

log = logging.getLogger(__name__)

PAUSE_S = 0.2


def store_root(config: MemoryConfig) -> Objects:
    """Where the map of buckets, the keys and the shards lie."""
    return open_objects(config.uri, config.storage_options)


def open_stores(
    config: MemoryConfig,
    encoder: TextEncoder,
    images: ImageEncoder,
    mine: Callable[[int], bool] = lambda shard: True,
    patience_s: float = 0,
) -> Stores:
    """The shards that ``mine`` names, all of them by default. Raises what keeps one from opening.

    A shard that another process has open is waited for: one that was killed may take a moment to be gone.
    """
    root = store_root(config)
    settings = StorageSettings(
        durability=config.durability or ("commit" if config.is_remote else "journal"),
        options=config.storage_options,
        hot_turns=config.hot_turns,
        protection=protection(config, root),
    )

    def open_now(shard: int, at_home: AtHome) -> MemoryStore:
        return MemoryStore.open(
            shard_uri(config, shard),
            text_encoder=encoder,
            image_encoder=images,
            session_gap=config.session_gap,
            storage=settings,
            at_home=at_home,
        )

    def open_shard(shard: int, at_home: AtHome) -> MemoryStore:
        deadline = time.monotonic() + patience_s
        while True:
            try:
                return open_now(shard, at_home)
            except (InUseError, BusyError) as error:
                if time.monotonic() >= deadline:
                    raise
                log.warning("shard %d is waited for: %s", shard, error)
            time.sleep(PAUSE_S)  # nothing tells when the kernel lets go of a dying process's lock

    return Stores(LayoutFile(root), config.shards, open_shard, mine, config.cache_mb)


def shard_name(shard: int) -> str:
    """The name of a shard's folder."""
    return f"shard-{shard:04d}"


def shard_uri(config: MemoryConfig, shard: int) -> str:
    """The folder or prefix of one shard."""
    name = shard_name(shard)
    return f"{config.uri.rstrip('/')}/{name}" if config.is_remote else str(Path(config.uri) / name)


def protection(config: MemoryConfig, root: Objects) -> Protection:
    """Encryption under the configured master key, none where there is no key. MasterKeyError."""
    if config.master_key_env:
        return Sealer(Keyring.open(root, MasterKey.from_environment(config.master_key_env)))
    if config.master_key_file:
        return Sealer(Keyring.open(root, MasterKey.from_file(config.master_key_file)))
    return InTheClear()
