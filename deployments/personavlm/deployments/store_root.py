"""From the configuration to where the store lies: its root, its encryption, whose it is. No LanceDB yet."""

from __future__ import annotations

import logging
import os
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from personavlm.memory_store.errors import StorageError
from personavlm.memory_store.storage.claim import Claim, Holder, let_go
from personavlm.memory_store.storage.keyring import Keyring, MasterKey
from personavlm.memory_store.storage.objects import Objects, open_objects
from personavlm.memory_store.storage.probe import require_conditional_writes
from personavlm.memory_store.storage.sealing import InTheClear, Protection, Sealer
from personavlm.platform.config import MemoryConfig

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Claimant:
    """Who opens a store in a bucket. ``service`` is shared by all of its processes. ``first`` says that it
    starts, rather than comes back after a crash: then it follows an older service of its release. ``lost`` is
    called when another service has taken over."""

    service: str
    first: bool
    lost: Callable[[], None]

    @classmethod
    def command(cls) -> Claimant:
        """A command that opens a store by itself. Once it has lost it, the shards refuse its writes."""
        return cls(uuid.uuid4().hex, first=False, lost=lambda: None)


def store_root(config: MemoryConfig) -> Objects:
    """Where the map of buckets, the keys and the shards lie."""
    return open_objects(config.uri, config.storage_options)


def claim(config: MemoryConfig, root: Objects, claimant: Claimant) -> Claim:
    """Claim a store in a bucket. InUseError, UnsafeStorageError."""
    require_conditional_writes(root)  # which the claim rests on as well
    holder = Holder(claimant.service, config.release, f"{socket.gethostname()}, process {os.getpid()}")
    return Claim.take(root, holder, take_over=claimant.first, lost=claimant.lost)


def end_claim(config: MemoryConfig, service: str) -> None:
    """Let another service open the store at once; all processes of this one have ended."""
    if config.is_remote:
        try:
            let_go(store_root(config), service)
        except StorageError as error:  # then the next one waits until the claim has been silent for a while
            log.warning("the claim on %s stays: %s", config.uri, error)


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
