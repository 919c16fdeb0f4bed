"""Object storage goes away: writes say so, and what was acknowledged before is there when it is back."""

from contextlib import ExitStack

import pytest

from personavlm.memory_store import MemoryStore, TurnDraft, UserKey
from personavlm.memory_store.errors import StorageError, storage_failed
from personavlm.memory_store.storage.settings import StorageSettings
from tests.unit.memory_store.bucket_server import BucketServer, bucket_server, spoiled
from tests.unit.memory_store.encoders import ByteEncoder, WordEncoder

ANN = UserKey("t", "ann")


def opened(server: BucketServer, uri: str) -> MemoryStore:
    settings = StorageSettings("commit", server.options)
    return MemoryStore.open(uri, text_encoder=WordEncoder(), image_encoder=ByteEncoder(), storage=settings)


def test_a_write_into_an_outage_is_refused_and_can_be_repeated() -> None:
    drafts = [TurnDraft(f"turn {number}", "ok", client_id=f"{number}") for number in range(2)]
    with bucket_server() as server:
        uri = server.new_uri()
        with ExitStack() as up:
            store = opened(up.enter_context(spoiled(server)), uri)
            store.append_turn(ANN, drafts[0])
            up.close()
            with pytest.raises(StorageError, match="turns could not be committed"):
                store.append_turn(ANN, drafts[1])
        with opened(server, uri) as again:
            for draft in drafts:
                again.append_turn(ANN, draft)
            assert [turn.user_text for turn in again.turns(ANN)] == ["turn 0", "turn 1"]


def test_a_read_that_fails_is_the_storages_fault() -> None:
    with bucket_server() as server, ExitStack() as up:
        store = opened(up.enter_context(spoiled(server)), server.new_uri())
        store.append_turn(ANN, TurnDraft("turn", "ok"))
        store.evict()
        up.close()
        with pytest.raises((StorageError, RuntimeError, OSError)) as failure:
            store.turns(ANN)
    assert storage_failed(failure.value)
    assert not storage_failed(RuntimeError("lance error: a bug"))
