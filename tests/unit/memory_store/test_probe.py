from collections.abc import Iterator
from pathlib import Path

import pytest

from personavlm.memory_store.errors import StorageError, UnsafeStorageError
from personavlm.memory_store.storage.local_objects import LocalObjects
from personavlm.memory_store.storage.objects import open_objects
from personavlm.memory_store.storage.probe import require_conditional_writes
from tests.unit.memory_store.bucket_server import BucketServer, bucket_server, spoiled

BOTH = frozenset({"if-match", "if-none-match"})


@pytest.fixture(scope="module")
def server() -> Iterator[BucketServer]:
    with bucket_server() as server:
        yield server


def test_a_folder_is_safe(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    require_conditional_writes(objects)
    assert list(objects.list("")) == []


def test_a_store_that_keeps_its_word_is_safe(server: BucketServer) -> None:
    objects = server.new_objects()
    require_conditional_writes(objects)
    assert list(objects.list("")) == []
    with spoiled(server) as same:  # the proxy spoils nothing by itself
        require_conditional_writes(same.new_objects())


@pytest.mark.parametrize(
    ("dropped", "fault"),
    [
        (BOTH, "second create of one object succeeds"),
        (frozenset({"if-none-match"}), "second create of one object succeeds"),
        (frozenset({"if-match"}), "replacing a version that is gone succeeds"),
    ],
)
def test_a_store_that_ignores_conditions_is_refused(
    server: BucketServer, dropped: frozenset[str], fault: str
) -> None:
    with spoiled(server, drop=dropped) as proxy:
        objects = proxy.new_objects()
        with pytest.raises(UnsafeStorageError, match=fault) as refusal:
            require_conditional_writes(objects)
        assert objects.uri in str(refusal.value) and "local folder" in str(refusal.value)
        assert list(objects.list("")) == []


@pytest.mark.parametrize("header", sorted(BOTH))
def test_a_store_that_knows_no_conditions_is_refused(server: BucketServer, header: str) -> None:
    with spoiled(server, refuse=frozenset({header})) as proxy, pytest.raises(UnsafeStorageError, match="501"):
        require_conditional_writes(proxy.new_objects())


def test_a_store_that_cannot_be_written_is_not_called_unsafe(server: BucketServer) -> None:
    with pytest.raises(StorageError, match="NoSuchBucket"):
        require_conditional_writes(open_objects("s3://nowhere/root", server.options))
