"""Objects too large for memory go in and out in parts, in a folder and in a bucket alike."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from personavlm.memory_store.storage.local_objects import LocalObjects
from personavlm.memory_store.storage.objects import MissingError, Objects
from tests.unit.memory_store.bucket_server import bucket_server

PARTS = [bytes([number]) * 3_000_000 for number in range(6)]


@pytest.fixture(params=["folder", "bucket"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Objects]:
    if request.param == "folder":
        yield LocalObjects(tmp_path)
    else:
        with bucket_server() as server:
            yield server.new_objects()


def test_parts_make_the_object(objects: Objects) -> None:
    objects.put("a/b", b"older")
    objects.put_parts("a/b", iter(PARTS))
    assert objects.size("a/b") == 18_000_000
    assert objects.get("a/b") == b"".join(PARTS) == b"".join(objects.get_parts("a/b"))
    assert len(list(objects.get_parts("a/b"))) > 1
    objects.put_parts("a/b", [])
    assert objects.get("a/b") == b""


def test_parts_that_break_off_change_nothing(objects: Objects) -> None:
    objects.put("a", b"older")

    def breaking_off() -> Iterator[bytes]:
        yield from PARTS
        raise OSError("no more to read")

    with pytest.raises(Exception, match="no more to read"):
        objects.put_parts("a", breaking_off())
    assert objects.get("a") == b"older"


def test_an_absent_object_has_no_parts(objects: Objects) -> None:
    with pytest.raises(MissingError):
        list(objects.get_parts("a"))
