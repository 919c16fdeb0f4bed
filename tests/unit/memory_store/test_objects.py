"""What holds of objects in a folder and of objects in a bucket alike."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personavlm.memory_store.storage.local_objects import LocalObjects
from personavlm.memory_store.storage.objects import ChangedError, ExistsError, MissingError, Objects
from tests.unit.memory_store.bucket_server import bucket_server

NewObjects = Callable[[], Objects]
KEYS = ("a", "b/c", "b/cd", "b/d/e")


@pytest.fixture(scope="module", params=["folder", "bucket"])
def new_objects(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NewObjects]:
    """Makes an empty root."""
    if request.param == "folder":
        yield lambda: LocalObjects(tmp_path_factory.mktemp("root"))
    else:
        with bucket_server() as server:
            yield server.new_objects


@pytest.fixture
def objects(new_objects: NewObjects) -> Objects:
    return new_objects()


def test_an_object_is_read_as_it_was_last_written(objects: Objects) -> None:
    objects.put("a/b", b"first")
    objects.put("a/b", b"")
    assert objects.get("a/b") == b"" and objects.size("a/b") == 0
    objects.put("a/b", bytes(range(256)) * 30_000)
    assert objects.get("a/b") == bytes(range(256)) * 30_000
    assert objects.size("a/b") == 256 * 30_000


def test_what_is_absent_is_said_to_be(objects: Objects) -> None:
    objects.put("folder/key", b"x")
    for key in ("key", "folder", "folder/key/more"):
        with pytest.raises(MissingError):
            objects.get(key)
        with pytest.raises(MissingError):
            objects.get_versioned(key)
        assert objects.size(key) is None
        objects.delete(key)
    assert objects.get("folder/key") == b"x"


def test_only_one_creates(objects: Objects) -> None:
    objects.create("a", b"first")
    with pytest.raises(ExistsError):
        objects.create("a", b"second")
    assert objects.get("a") == b"first"
    objects.delete("a")
    objects.create("a", b"third")
    assert objects.get("a") == b"third"


def test_only_the_version_that_was_read_is_replaced(objects: Objects) -> None:
    objects.put("a", b"first")
    data, version = objects.get_versioned("a")
    objects.replace("a", data + b", second", version)
    for late in (b"third", b"first, second"):
        with pytest.raises(ChangedError):
            objects.replace("a", late, version)
    assert objects.get("a") == b"first, second"
    objects.delete("a")
    with pytest.raises(ChangedError):
        objects.replace("a", b"fourth", version)
    assert objects.size("a") is None


def test_a_prefix_is_a_folder(objects: Objects) -> None:
    for key in KEYS:
        objects.put(key, key.encode())
    assert sorted(objects.list("")) == [(key, len(key)) for key in KEYS]
    assert sorted(objects.list("b")) == [("b/c", 3), ("b/cd", 4), ("b/d/e", 5)]
    assert list(objects.list("b/d")) == [("b/d/e", 5)]
    assert list(objects.list("b/c")) == list(objects.list("nowhere")) == []


@pytest.mark.parametrize(
    "key", ["", "/", "a/", "/a", "a//b", "..", "a/../b", ".objects/x", "a b", "é", "a\n"]
)
def test_a_malformed_key_is_refused(objects: Objects, key: str) -> None:
    for call in (objects.get, objects.size, objects.delete, lambda key: objects.put(key, b"x")):
        with pytest.raises(ValueError, match="no key"):
            call(key)


def test_of_many_who_create_one_succeeds(objects: Objects) -> None:
    def create(number: int) -> bytes | None:
        data = str(number).encode()
        try:
            objects.create("a", data)
        except ExistsError:
            return None
        return data

    with ThreadPoolExecutor(8) as pool:
        (winner,) = (data for data in pool.map(create, range(16)) if data)
    assert objects.get("a") == winner


def test_no_replacement_is_lost(objects: Objects) -> None:
    objects.put("count", b"0")

    def count(_: int) -> None:
        while True:
            data, version = objects.get_versioned("count")
            try:
                objects.replace("count", str(int(data) + 1).encode(), version)
            except ChangedError:
                continue
            return

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(20)))
    assert objects.get("count") == b"20"


Call = tuple[str, str, bytes]
CALLS = st.lists(
    st.tuples(
        st.sampled_from(["put", "create", "replace", "replace old", "delete"]),
        st.sampled_from(KEYS),
        st.sampled_from([b"", b"x", b"yy"]),
    ),
    max_size=8,
)


@given(calls=CALLS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_objects_behave_like_a_dictionary(new_objects: NewObjects, calls: list[Call]) -> None:
    objects, expected = new_objects(), dict[str, bytes]()
    for name, key, data in calls:
        if name == "put":
            objects.put(key, data)
            expected[key] = data
        elif name == "create":
            if key in expected:
                with pytest.raises(ExistsError):
                    objects.create(key, data)
            else:
                objects.create(key, data)
            expected.setdefault(key, data)
        elif name == "delete":
            objects.delete(key)
            expected.pop(key, None)
        elif key in expected:
            version = objects.get_versioned(key)[1]
            if name == "replace":
                objects.replace(key, data, version)
                expected[key] = data
            else:
                expected[key] += b"!"
                objects.put(key, expected[key])
                with pytest.raises(ChangedError):
                    objects.replace(key, data, version)
    assert {key: objects.get(key) for key, _ in objects.list("")} == expected
    assert dict(objects.list("")) == {key: len(data) for key, data in expected.items()}
