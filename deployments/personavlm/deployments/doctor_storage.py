"""What `personavlm doctor` looks at in the store: whether it keeps its word, has room, and can be read."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from personavlm.deployments.findings import Finding, ok, warning, wrong
from personavlm.deployments.store_root import protection, shard_uri, store_root
from personavlm.memory_store import StoreError
from personavlm.memory_store.lifecycle.inspection import problems
from personavlm.memory_store.storage.claim import holder_of
from personavlm.memory_store.storage.keyring import ROOT
from personavlm.memory_store.storage.layout import KEY, Layout
from personavlm.memory_store.storage.probe import require_conditional_writes
from personavlm.platform.config import MemoryConfig

GIB = 2**30
LITTLE_DISK, NO_DISK = 5 * GIB, GIB // 4
FAILURES = (StoreError, ModuleNotFoundError, ValueError, OSError, RuntimeError)  # the last are LanceDB's


def storage(memory: MemoryConfig) -> Iterator[Finding]:
    """Findings of the store; nothing of it is changed."""
    if memory.is_remote:
        reachable = _bucket(memory)
        yield reachable
        if reachable.status == "wrong":
            return
        yield _owner(memory)
    else:
        yield _folder(Path(memory.uri))
    yield _schema(memory)
    yield _encryption(memory)


def _bucket(memory: MemoryConfig) -> Finding:
    try:
        require_conditional_writes(store_root(memory))
    except FAILURES as error:
        return wrong(
            "storage",
            f"{memory.uri}: {error}",
            "check the bucket's name, memory.storage_options (aws_endpoint, region) and the credentials "
            "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the role of the machine)",
        )
    return ok("storage", f"{memory.uri}: reached, conditional writes are kept")


def _owner(memory: MemoryConfig) -> Finding:
    holder = holder_of(store_root(memory))
    if holder and memory.release and holder.release != memory.release:
        return wrong(
            "owner",
            f"{memory.uri} is claimed by {holder}",
            "give this service a memory.uri of its own, or end that one",
        )
    return ok("owner", f"{holder}" if holder else "nobody has the store open")


def _folder(folder: Path) -> Finding:
    """Of the folder, or of where it would be made."""
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(b"x")
            os.fsync(file.fileno())
    except OSError as error:
        return wrong(
            "storage", f"{existing}: {error.strerror}", f"let this user write there: chown {existing}"
        )
    free = shutil.disk_usage(existing).free
    found = f"{folder}: {free / GIB:,.1f} GiB free"
    remedy = "free some space or give the store a larger disk; joining tables needs their size once more"
    if free < NO_DISK:
        return wrong("storage", found, remedy)
    return warning("storage", found, remedy) if free < LITTLE_DISK else ok("storage", found)


def _schema(memory: MemoryConfig) -> Finding:
    if not _exists(memory, KEY):
        return ok("schema", "no store yet: the first start makes one")
    try:
        layout = Layout.model_validate_json(store_root(memory).get(KEY))
        found = [
            f"shard {shard}: {problem}"
            for shard in range(layout.shards)
            for problem in problems(shard_uri(memory, shard), memory.storage_options)
        ]
    except FAILURES as error:
        return wrong("schema", str(error).splitlines()[0], "restore a backup: `personavlm store restore`")
    if found:
        return wrong(
            "schema",
            "; ".join(found),
            "export the users with the version that wrote it (`personavlm store export-tenant`) and import "
            "them here; after a restore that was cut off, empty the place and restore again",
        )
    unfinished = "; buckets wait to be moved" if layout.moving or layout.left else ""
    return ok("schema", f"format {layout.format}, {layout.shards} shards{unfinished}")


def _encryption(memory: MemoryConfig) -> Finding:
    if not (memory.master_key_env or memory.master_key_file):
        return ok("encryption", "off")
    if not _exists(memory, ROOT):
        return ok("encryption", "on; the first start makes the keys")
    try:
        protection(memory, store_root(memory))
    except FAILURES as error:
        return wrong("encryption", str(error), "give the service the key with which the store was made")
    return ok("encryption", "on, the master key opens the store")


def _exists(memory: MemoryConfig, key: str) -> bool:
    """Whether the store has this object; asking makes no folder."""
    there = memory.is_remote or Path(memory.uri).is_dir()
    return there and store_root(memory).size(key) is not None
