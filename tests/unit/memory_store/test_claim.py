"""Whose store in a bucket it is: one service at a time, and successors of one release."""

import json
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

import pytest

from personavlm.memory_store.errors import DamagedError, InUseError
from personavlm.memory_store.storage.claim import KEY, Claim, Holder, Pace, holder_of, let_go
from personavlm.memory_store.storage.objects import MissingError, Objects
from tests.unit.memory_store.bucket_server import BucketServer, bucket_server

PACE = Pace(renew_s=0.1, silent_s=1.0)
OLD, NEW = Holder("1", "blue", "host-1"), Holder("2", "blue", "host-2")
STRANGER = Holder("3", "green", "host-3")
NAMELESS = Holder("4", None, "host-4"), Holder("5", None, "host-5")


@pytest.fixture(scope="module")
def server() -> Iterator[BucketServer]:
    with bucket_server() as server:
        yield server


@pytest.fixture
def objects(server: BucketServer) -> Objects:
    return server.new_objects()


@pytest.fixture
def take(objects: Objects) -> Iterator[Callable[..., Claim]]:
    """Claims that are released when the test ends."""
    taken: list[Claim] = []

    def take(holder: Holder, lost: Callable[[], None] = lambda: None, **options: Any) -> Claim:  # noqa: ANN401
        take_over = options.get("take_over", True)
        taken.append(Claim.take(objects, holder, take_over=take_over, lost=lost, pace=PACE))
        return taken[-1]

    yield take
    for claim in taken:
        claim.release()


def test_a_living_service_keeps_strangers_out(objects: Objects, take: Callable[..., Claim]) -> None:
    take(OLD)
    with pytest.raises(InUseError, match=r"in use by release 'blue' on host-1.*memory\.uri of its own"):
        take(STRANGER)
    assert holder_of(objects) == OLD


def test_services_without_a_release_never_follow_each_other(take: Callable[..., Claim]) -> None:
    take(NAMELESS[0])
    with pytest.raises(InUseError, match="a service on host-4"):
        take(NAMELESS[1])


def test_processes_of_one_service_share_the_claim(objects: Objects, take: Callable[..., Claim]) -> None:
    lost = Event()
    for _ in range(3):
        take(OLD, lost.set)
    assert not lost.wait(1)
    assert holder_of(objects) == OLD


def test_a_new_version_takes_over_at_once_and_the_old_one_does_not_take_it_back(
    objects: Objects, take: Callable[..., Claim]
) -> None:
    lost = Event()
    take(OLD, lost.set)
    take(NEW)
    assert lost.wait(10)
    with pytest.raises(InUseError, match="host-2"):
        take(OLD, take_over=False)
    assert holder_of(objects) == NEW


def test_who_is_silent_is_gone(objects: Objects, take: Callable[..., Claim]) -> None:
    record = {"holder": {"id": "9", "release": "green", "place": "host-9"}, "renewals": 7}
    objects.put(KEY, json.dumps(record).encode())
    take(OLD)
    assert holder_of(objects) == OLD


def test_a_released_store_is_free_at_once(objects: Objects, take: Callable[..., Claim]) -> None:
    take(OLD).release()
    assert holder_of(objects) is None
    take(STRANGER)
    let_go(objects, OLD.id)  # not his any more
    assert holder_of(objects) == STRANGER


def test_a_claim_that_was_removed_is_lost(objects: Objects, take: Callable[..., Claim]) -> None:
    lost = Event()
    take(OLD, lost.set)
    objects.delete(KEY)
    assert lost.wait(10)
    with pytest.raises(MissingError):
        objects.get(KEY)


def test_a_claim_that_makes_no_sense_is_named(objects: Objects, take: Callable[..., Claim]) -> None:
    objects.put(KEY, b'{"holder": 1}')
    with pytest.raises(DamagedError, match=r"owner\.json makes no sense"):
        take(OLD)
    objects.delete(KEY)
