"""The shards of the configured store, opened for writing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from personavlm.deployments.store_root import Claimant, claim, protection, shard_uri, store_root
from personavlm.memory_store import BusyError, ImageEncoder, InUseError, MemoryStore, TextEncoder
from personavlm.memory_store.storage.claim import Claim
from personavlm.memory_store.storage.layout import LayoutFile
from personavlm.memory_store.storage.objects import Objects
from personavlm.memory_store.storage.settings import StorageSettings
from personavlm.memory_store.stores import AtHome, Stores
from personavlm.platform.config import MemoryConfig

log = logging.getLogger(__name__)

PAUSE_S = 0.2


def open_stores(
    config: MemoryConfig,
    encoder: TextEncoder,
    images: ImageEncoder,
    mine: Callable[[int], bool] = lambda shard: True,
    patience_s: float = 0,
    claimant: Claimant | None = None,
) -> Stores:
    """The shards that ``mine`` names, all of them by default. Raises what keeps one from opening.

    A shard that another process has open is waited for: one that was killed may take a moment to be gone. A
    store in a bucket is claimed first; InUseError where it belongs to another service.
    """
    root = store_root(config)
    claimed = claim(config, root, claimant or Claimant.command()) if config.is_remote else None
    try:
        return _open_stores(config, root, encoder, images, mine, patience_s, claimed)
    except BaseException:  # Ctrl-C too must give the claim back; raised again
        if claimed:
            claimed.stop()
        raise


def _open_stores(
    config: MemoryConfig,
    root: Objects,
    encoder: TextEncoder,
    images: ImageEncoder,
    mine: Callable[[int], bool],
    patience_s: float,
    claimed: Claim | None,
) -> Stores:
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

    return Stores(LayoutFile(root), config.shards, open_shard, mine, config.cache_mb, claimed)
