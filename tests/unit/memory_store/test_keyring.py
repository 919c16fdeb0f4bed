"""Keys of tenants: made once, told apart, dropped for good, under a master key that can be changed."""

import base64
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from pathlib import Path

import pytest

from personavlm.memory_store.errors import DamagedError, StoreError
from personavlm.memory_store.storage.keyring import ROOT, KeyDroppedError, Keyring, MasterKey, MasterKeyError
from personavlm.memory_store.storage.local_objects import LocalObjects
from personavlm.memory_store.storage.objects import ExistsError
from personavlm.memory_store.storage.sealing import UnreadableError, decrypted, encrypted

MASTER = MasterKey(bytes(range(32)))
OTHER_MASTER = MasterKey(bytes(range(1, 33)))


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path / "store")


@pytest.fixture
def keyring(objects: LocalObjects) -> Keyring:
    return Keyring.open(objects, MASTER)


def reopened(objects: LocalObjects) -> Keyring:
    return Keyring.open(objects, MASTER)


def key_object(objects: LocalObjects) -> str:
    """The one object of a tenant's key."""
    (key,) = (key for key, _ in objects.list("keys") if key != ROOT)
    return key


def test_another_process_opens_what_one_sealed(keyring: Keyring, objects: LocalObjects) -> None:
    sealed = keyring.sealer.seal_bytes("acme", b"words")
    assert reopened(objects).sealer.open_bytes("acme", sealed) == b"words"


def test_tenants_have_different_keys(keyring: Keyring) -> None:
    sealed = keyring.sealer.seal_bytes("acme", b"words")
    keyring.create("globex")
    with pytest.raises(UnreadableError):
        keyring.sealer.open_bytes("globex", sealed)
    keys = [keyring.sealing_key(tenant) for tenant in ("acme", "globex", "")]
    assert len({key.id for key in keys}) == 3
    for key, other in permutations(keys, 2):
        with pytest.raises(UnreadableError):
            decrypted(other.cipher, encrypted(key.cipher, b"words", b""), b"")


def test_a_key_stays_the_tenants_own_when_objects_are_exchanged(
    keyring: Keyring, objects: LocalObjects
) -> None:
    keyring.create("acme")
    acme = key_object(objects)
    data = objects.get(acme)
    objects.delete(acme)
    keyring.create("globex")
    objects.put(key_object(objects), data)
    with pytest.raises(DamagedError):
        reopened(objects).sealer.seal_bytes("globex", b"words")


def test_no_key_stands_in_the_store(keyring: Keyring, objects: LocalObjects) -> None:
    keyring.create("a tenant's name")
    stored = b"".join(objects.get(key) for key, _ in objects.list(""))
    names = "".join(key for key, _ in objects.list(""))
    assert MASTER.secret not in stored and MASTER.secret.hex().encode() not in stored
    assert base64.b64encode(MASTER.secret) not in stored
    assert b"tenant's name" not in stored and "tenant's name" not in names


def test_processes_that_seal_first_agree_on_the_key(objects: LocalObjects) -> None:
    keyrings = [Keyring.open(objects, MASTER) for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        ids = list(threads.map(lambda keyring: keyring.sealing_key("acme").id, keyrings))
    assert len(set(ids)) == 1


def test_processes_that_open_first_agree_on_the_root(objects: LocalObjects) -> None:
    with ThreadPoolExecutor(8) as threads:
        keyrings = list(threads.map(lambda _: Keyring.open(objects, MASTER), range(8)))
    sealed = keyrings[0].sealer.seal_bytes("acme", b"words")
    assert all(keyring.sealer.open_bytes("acme", sealed) == b"words" for keyring in keyrings)


# dropping


def test_what_a_dropped_key_sealed_is_unreadable_for_good(keyring: Keyring, objects: LocalObjects) -> None:
    sealed = keyring.sealer.seal_bytes("acme", b"words")
    kept = keyring.sealer.seal_bytes("globex", b"others")
    keyring.drop("acme")
    for each in (keyring, reopened(objects)):
        with pytest.raises(KeyDroppedError):
            each.sealer.open_bytes("acme", sealed)
        assert each.sealer.open_bytes("globex", kept) == b"others"


def test_the_wrapped_key_itself_is_gone(keyring: Keyring, objects: LocalObjects) -> None:
    keyring.create("acme")
    wrapped = json.loads(objects.get(key_object(objects)))["wrapped"].encode()
    keyring.drop("acme")
    assert not any(wrapped in objects.get(key) for key, _ in objects.list(""))


@pytest.mark.parametrize("ever_used", [True, False])
def test_nothing_is_sealed_for_a_dropped_tenant_until_a_key_is_created(
    keyring: Keyring, objects: LocalObjects, ever_used: bool
) -> None:
    if ever_used:
        keyring.create("acme")
    keyring.drop("acme")
    keyring.drop("acme")
    for each in (keyring, reopened(objects)):
        with pytest.raises(KeyDroppedError):
            each.sealer.seal_bytes("acme", b"words")
    keyring.create("acme")
    assert keyring.sealer.open_bytes("acme", keyring.sealer.seal_bytes("acme", b"new")) == b"new"


def test_a_new_key_opens_nothing_of_the_dropped_ones(keyring: Keyring, objects: LocalObjects) -> None:
    old = []
    for _ in range(2):
        old.append(keyring.sealer.seal_bytes("acme", b"words"))
        keyring.drop("acme")
        keyring.create("acme")
    new = keyring.sealer.seal_bytes("acme", b"new")
    for each in (keyring, reopened(objects)):
        for sealed in old:
            with pytest.raises(KeyDroppedError):
                each.sealer.open_bytes("acme", sealed)
        assert each.sealer.open_bytes("acme", new) == b"new"


def test_only_one_key_at_a_time(keyring: Keyring, objects: LocalObjects) -> None:
    sealed = keyring.sealer.seal_bytes("acme", b"words")
    with pytest.raises(ExistsError):
        reopened(objects).create("acme")
    assert keyring.sealer.open_bytes("acme", sealed) == b"words"


def test_another_process_forgets_a_dropped_key(keyring: Keyring, objects: LocalObjects) -> None:
    other = reopened(objects)
    sealed = other.sealer.seal_bytes("acme", b"words")
    keyring.drop("acme")
    other.forget("acme")
    with pytest.raises(KeyDroppedError):
        other.sealer.open_bytes("acme", sealed)


def test_another_process_learns_of_a_new_key(keyring: Keyring, objects: LocalObjects) -> None:
    other = reopened(objects)
    other.sealer.seal_bytes("acme", b"words")
    keyring.drop("acme")
    keyring.create("acme")
    new = keyring.sealer.seal_bytes("acme", b"new")
    assert other.sealer.open_bytes("acme", new) == b"new"


# the master key


def test_another_master_key_opens_nothing(keyring: Keyring, objects: LocalObjects) -> None:
    before = {key: objects.get(key) for key, _ in objects.list("")}
    with pytest.raises(MasterKeyError, match="another master key"):
        Keyring.open(objects, OTHER_MASTER)
    assert {key: objects.get(key) for key, _ in objects.list("")} == before


def test_the_master_key_can_be_changed(keyring: Keyring, objects: LocalObjects) -> None:
    sealed = keyring.sealer.seal_bytes("acme", b"words")
    keyring.rewrap(OTHER_MASTER)
    with pytest.raises(MasterKeyError):
        Keyring.open(objects, MASTER)
    assert Keyring.open(objects, OTHER_MASTER).sealer.open_bytes("acme", sealed) == b"words"
    keyring.create("globex")  # a keyring that was open goes on
    late = keyring.sealer.seal_bytes("globex", b"others")
    assert Keyring.open(objects, OTHER_MASTER).sealer.open_bytes("globex", late) == b"others"


@pytest.mark.parametrize("damage", [lambda data: data[:-5], lambda data: data.replace(b"wrapped", b"other")])
def test_a_damaged_root_is_named(
    keyring: Keyring, objects: LocalObjects, damage: Callable[[bytes], bytes]
) -> None:
    objects.put(ROOT, damage(objects.get(ROOT)))
    with pytest.raises(DamagedError, match=ROOT):
        reopened(objects)


def test_a_root_with_another_content_is_damaged(keyring: Keyring, objects: LocalObjects) -> None:
    stored = json.loads(objects.get(ROOT))
    stored["wrapped"] = base64.b64encode(os.urandom(60)).decode()
    objects.put(ROOT, json.dumps(stored).encode())
    with pytest.raises(DamagedError, match=ROOT):
        reopened(objects)


def test_a_lost_root_is_not_replaced(keyring: Keyring, objects: LocalObjects) -> None:
    keyring.create("acme")
    objects.delete(ROOT)
    with pytest.raises(DamagedError, match=ROOT):
        reopened(objects)
    assert objects.size(ROOT) is None


def test_a_damaged_key_is_named(keyring: Keyring, objects: LocalObjects) -> None:
    keyring.create("acme")
    key = key_object(objects)
    objects.put(key, b"{}x")
    with pytest.raises(DamagedError, match=key):
        reopened(objects).sealer.seal_bytes("acme", b"words")


@pytest.mark.parametrize(
    "text",
    [
        MASTER.secret.hex(),
        MASTER.secret.hex().upper() + "\n",
        base64.b64encode(MASTER.secret).decode() + "\n",
    ],
)
def test_a_master_key_is_hexadecimal_or_base64(text: str) -> None:
    assert MasterKey.parse(text) == MASTER


@pytest.mark.parametrize(
    "text", ["", "secret words", "00" * 31, base64.b64encode(b"x" * 33).decode(), "é" * 44]
)
def test_what_is_no_master_key_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(MasterKeyError) as refusal:
        MasterKey.parse(text)
    assert not text or text not in str(refusal.value)


def test_a_master_key_does_not_show_itself() -> None:
    shown = repr(MASTER) + MASTER.fingerprint
    assert MASTER.secret.hex()[:8] not in shown and repr(MASTER.secret) not in shown


def test_a_master_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_MASTER_KEY", MASTER.secret.hex())
    assert MasterKey.from_environment("A_MASTER_KEY") == MASTER
    monkeypatch.delenv("A_MASTER_KEY")
    with pytest.raises(MasterKeyError, match="A_MASTER_KEY"):
        MasterKey.from_environment("A_MASTER_KEY")


def test_a_master_key_comes_from_a_file_of_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    path.write_text(MASTER.secret.hex())
    path.chmod(0o600)
    assert MasterKey.from_file(path) == MASTER
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        with pytest.raises(MasterKeyError, match="chmod 600"):
            MasterKey.from_file(path)
    with pytest.raises(MasterKeyError, match="cannot be read"):
        MasterKey.from_file(tmp_path / "absent")


def test_the_errors_are_the_stores() -> None:
    assert all(issubclass(error, StoreError) for error in (MasterKeyError, KeyDroppedError, UnreadableError))
    assert issubclass(KeyDroppedError, UnreadableError)
