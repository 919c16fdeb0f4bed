"""Rows to seal, and a sealer."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa

from personavlm.memory_store.records import ImageRef, Turn, UserKey
from personavlm.memory_store.storage.keyring import Keyring, MasterKey
from personavlm.memory_store.storage.local_objects import LocalObjects
from personavlm.memory_store.storage.sealing import Sealer
from personavlm.memory_store.storage.tables import RECORDS, Row, row_of, uid_of, vectors_schema

DIM = 8
SCHEMAS: dict[str, pa.Schema] = {**RECORDS, "vectors_of_texts_x": vectors_schema(DIM)}
TIME = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)
USER = UserKey("acme", "ada")


@contextmanager
def new_sealer() -> Iterator[Sealer]:
    """A sealer with keys of its own."""
    with TemporaryDirectory() as folder:
        yield Keyring.open(LocalObjects(Path(folder)), MasterKey(b"k" * 32)).sealer


def turn_row(user: UserKey = USER, id: str = "t_1", words: str = "a secret about the garden") -> Row:
    images = (ImageRef("ab" * 32, "image/png", 3, 4, "the caption of a picture"),)
    turn = Turn(
        id=id,
        index=3,
        session="t_0",
        event_time=TIME,
        recorded_at=TIME,
        user_text=words,
        assistant_text="an answer",
        images=images,
        client_id="the client's own words",
        utc_offset_minutes=-90,
    )
    return row_of(user, turn) | {"epoch": 1, "seq": 7}


def vector_row(id: str = "t_1") -> Row:
    owner = {"uid": uid_of(USER), "tenant": USER.tenant, "user": USER.user, "epoch": 1, "seq": 8}
    vector = np.arange(DIM, dtype=np.float32) / 3
    return owner | {"id": id, "field": "user", "digest": "cd" * 32, "model_id": "m", "vector": vector}
