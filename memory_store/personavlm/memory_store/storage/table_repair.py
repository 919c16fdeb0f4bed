"""What a crash or a full disk left of a LanceDB table in a local folder: repaired before it is used."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lancedb
import pyarrow.compute as pc
from lancedb.index import BTree

from personavlm.memory_store.errors import DamagedError

logger = logging.getLogger(__name__)

# What lancedb raises for files that are missing, cut short or filled with zeros, and for a full disk.
UNREADABLE = (RuntimeError, ValueError, OSError)


def set_back(name: str, folder: Path, seq: int) -> None:
    """Set versions aside that have rows from ``seq`` on: the journal has those rows too, and not every page
    of their files may have got to the disk. LanceDB has no checksums that would tell.

    Where no older version is left, maintenance came after those rows, and has flushed them.
    """
    set_aside: list[Path] = []
    for head in _manifests(folder):
        try:
            # A connection for each look: the version will get another content.
            rows = lancedb.connect(str(folder.parent)).open_table(name).search().select(["seq"]).limit(None)
            if (pc.max(rows.to_arrow()["seq"]).as_py() or 0) < seq:
                return
        except UNREADABLE as error:
            logger.warning("%s: version %s cannot be read: %s", name, head.stem, error)
        set_aside.append(_set_aside(head))
    for path in set_aside:
        path.rename(path.with_suffix(""))


def repaired(connection: Any, name: str, folder: Path) -> Any | None:  # noqa: ANN401
    """The newest version that can be read, newer ones being set aside; None where there is no table, or no
    more than its beginning. DamagedError where no version can be read, and all files are as they were."""
    set_aside: list[Path] = []
    while heads := _manifests(folder):
        try:
            table = connection.open_table(name)
            table.search().select(["seq"]).limit(None).to_arrow()  # opens every data file
        except UNREADABLE as error:
            set_aside.append(_set_aside(heads[0]))
            logger.warning("%s: version %s cannot be read: %s", name, heads[0].stem, error)
        else:
            return table
    if set_aside and not _holds_nothing(set_aside):
        for path in set_aside:
            path.rename(path.with_suffix(""))
        raise DamagedError(f"no version of the table {name} can be read")
    return None


def _manifests(table_folder: Path) -> list[Path]:
    """Manifests, newest version first: their names count down from 2**64 - 1."""
    return sorted((table_folder / "_versions").glob("*.manifest"))


def _set_aside(manifest: Path) -> Path:
    return manifest.rename(manifest.with_name(manifest.name + ".corrupt"))


def _holds_nothing(set_aside: list[Path]) -> bool:
    """Whether the table got no further than version 1, its empty beginning."""
    return [path.name.split(".")[0] for path in set_aside] == [str(2**64 - 2)]


def repair_index(table: Any, torn: Sequence[Path]) -> None:  # noqa: ANN401
    """Build the index on ``uid`` where it is missing or cannot be read, or where files of it were torn."""
    if any("_indices" in path.parts for path in torn):
        logger.warning("%s: its index was cut short", table.name)
    elif table.list_indices():
        try:
            table.search().where("uid = ''").limit(1).to_arrow()
            return
        except UNREADABLE as error:
            logger.warning("%s: its index cannot be read: %s", table.name, error)
    table.create_index("uid", config=BTree(), replace=True)
