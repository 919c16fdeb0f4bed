"""What holds of objects in a folder alone: nothing half-written, nothing left behind."""

import fcntl
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from personavlm.memory_store.storage.local_objects import LocalObjects

MEBIBYTE = 1 << 20

WRITER = """
import sys
from pathlib import Path
from personavlm.memory_store.storage.local_objects import LocalObjects

objects = LocalObjects(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    for letter in (b"a", b"b"):
        objects.put("folder/object", letter * (1 << 20))
"""

WRITER_WITHOUT_SPACE = """
import resource, sys
from pathlib import Path
from personavlm.memory_store.storage.local_objects import LocalObjects

objects = LocalObjects(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    objects.put("object", b"b" * 5000)
except OSError as error:
    print(error.strerror)
"""

COUNTER = """
import sys
from pathlib import Path
from personavlm.memory_store.storage.local_objects import LocalObjects
from personavlm.memory_store.storage.objects import ChangedError

objects = LocalObjects(Path(sys.argv[1]))
todo = 25
while todo:
    data, version = objects.get_versioned("count")
    try:
        objects.replace("count", str(int(data) + 1).encode(), version)
    except ChangedError:
        continue
    todo -= 1
"""


def unfinished(root: Path) -> list[Path]:
    return list((root / ".objects" / "unfinished").iterdir())


def test_a_killed_writer_leaves_whole_objects(tmp_path: Path) -> None:
    chance = random.Random(3)
    LocalObjects(tmp_path).put("folder/object", b"a" * MEBIBYTE)
    for _ in range(5):
        command = [sys.executable, "-c", WRITER, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout and writer.stdout.readline() == "ready\n"
            time.sleep(chance.uniform(0, 0.03))  # waits for nothing: it picks the point of the kill
            writer.send_signal(signal.SIGKILL)
        objects = LocalObjects(tmp_path)
        assert objects.get("folder/object") in (b"a" * MEBIBYTE, b"b" * MEBIBYTE)
        assert list(objects.list("")) == [("folder/object", MEBIBYTE)]
        assert unfinished(tmp_path) == []


def test_what_another_process_is_writing_is_not_swept(tmp_path: Path) -> None:
    LocalObjects(tmp_path)
    half = tmp_path / ".objects" / "unfinished" / "half"
    half.write_bytes(b"ha")
    with (tmp_path / ".objects" / "write.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        LocalObjects(tmp_path).put("key", b"x")
        assert unfinished(tmp_path) == [half]
    LocalObjects(tmp_path)
    assert unfinished(tmp_path) == []


def test_a_write_without_space_changes_nothing(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    objects.put("object", b"a")
    command = [sys.executable, "-c", WRITER_WITHOUT_SPACE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "File too large\n"
    assert objects.get("object") == b"a" and unfinished(tmp_path) == []


def test_processes_lose_no_replacement(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    objects.put("count", b"0")
    command = [sys.executable, "-c", COUNTER, str(tmp_path)]
    for process in [subprocess.Popen(command) for _ in range(3)]:
        assert process.wait() == 0
    assert objects.get("count") == b"75"


def test_nothing_is_left_of_a_deleted_object(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    for key in ("a/b/c", "a/d"):
        objects.put(key, b"x")
    objects.delete("a/b/c")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["d"]
    objects.delete("a/d")
    assert [path.name for path in tmp_path.iterdir()] == [".objects"]


def test_other_files_of_the_folder_are_no_objects(tmp_path: Path) -> None:
    (tmp_path / "no key.txt").write_bytes(b"x")
    (tmp_path / ".hidden").write_bytes(b"x")
    assert list(LocalObjects(tmp_path).list("")) == []


@pytest.mark.parametrize("name", ["root", "several/new/folders"])
def test_the_root_is_made_where_it_is_absent(tmp_path: Path, name: str) -> None:
    objects = LocalObjects(tmp_path / name)
    objects.put("a", b"x")
    assert (tmp_path / name / "a").read_bytes() == b"x"
