"""Which objects a URI opens, and with which options."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from personavlm.memory_store.errors import StorageError
from personavlm.memory_store.storage.bucket_objects import BucketObjects
from personavlm.memory_store.storage.local_objects import LocalObjects
from personavlm.memory_store.storage.objects import open_objects
from tests.unit.memory_store.bucket_server import BucketServer, bucket_server

WITHOUT_OBSTORE = """
import sys
sys.modules["obstore"] = None
from personavlm.memory_store.storage.objects import open_objects
open_objects(sys.argv[1]).put("a", b"x")
try:
    open_objects("s3://bucket/root")
except ModuleNotFoundError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[BucketServer]:
    with bucket_server() as server:
        yield server


def test_a_path_is_a_folder(tmp_path: Path) -> None:
    for uri in (tmp_path / "a", str(tmp_path / "b")):
        objects = open_objects(uri)
        assert isinstance(objects, LocalObjects) and objects.uri == str(uri)


def test_a_bucket_takes_the_options_of_lancedb(server: BucketServer) -> None:
    uri = server.new_uri()
    open_objects(uri, server.options).put("a", b"x")
    other_names = {
        "access_key_id": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "endpoint": server.endpoint,
        "aws_region": "us-east-1",
        "allow_http": "true",
        "connect_timeout": "3s",
        "client_max_retries": "2",
    }
    objects = open_objects(uri, other_names)
    assert isinstance(objects, BucketObjects) and objects.uri == uri
    assert objects.get("a") == b"x"
    above, _, prefix = uri.rpartition("/")
    assert open_objects(above, server.options).get(f"{prefix}/a") == b"x"


def test_an_unknown_option_is_refused(server: BucketServer) -> None:
    with pytest.raises(ValueError, match="colour"):
        open_objects(server.new_uri(), {**server.options, "colour": "red"})


@pytest.mark.parametrize("uri", ["az://container/root", "http://host/root", "memory://root"])
def test_another_scheme_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="s3://"):
        open_objects(uri)


def test_a_bucket_that_is_not_there_is_a_failure_of_storage(server: BucketServer) -> None:
    objects = open_objects("s3://nowhere/root", server.options)
    with pytest.raises(StorageError, match="NoSuchBucket"):
        objects.put("a", b"x")
    with pytest.raises(StorageError, match="NoSuchBucket"):
        list(objects.list(""))


def test_only_a_bucket_needs_the_package_for_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_OBSTORE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "personavlm[s3]" in done.stdout and (tmp_path / "a").exists()
