"""The map of buckets: every bucket has one home, growth ends even, and the stored map is changed by one."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personavlm.memory_store import DamagedError, UserKey
from personavlm.memory_store.storage.layout import BUCKETS, KEY, Layout, LayoutFile, bucket_of
from personavlm.memory_store.storage.local_objects import LocalObjects
from personavlm.memory_store.storage.objects import ChangedError

buckets = st.integers(0, BUCKETS - 1)


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Any map: uneven, with some buckets on their way and some that left things behind."""
    shards = draw(st.integers(1, 9))
    kept = draw(st.lists(st.integers(0, shards - 1), min_size=1, max_size=40))
    home = [kept[bucket % len(kept)] for bucket in range(BUCKETS)]
    ways = draw(st.dictionaries(buckets, st.integers(0, shards - 1), max_size=5))
    moving = {bucket: shard for bucket, shard in ways.items() if home[bucket] != shard}
    left = draw(st.dictionaries(buckets, st.integers(0, shards - 1), max_size=5))
    return Layout(shards=shards, home=tuple(home), moving=moving, left=left)


def carried_out(layout: Layout) -> Layout:
    moves = dict(layout.next_moves())
    return layout.begin_moves(moves).end_moves(moves).cleared()


@given(layouts(), st.integers(0, 9))
def test_growth_ends_even_and_every_bucket_has_one_home(layout: Layout, more: int) -> None:
    grown = layout.grown(layout.shards + more)
    done = carried_out(grown)
    counts = Counter(done.home)
    assert sum(counts.values()) == len(done.home) == BUCKETS
    sizes = [counts[shard] for shard in range(grown.shards)]
    # What is on its way goes where it was sent, even where that is not even.
    assert max(sizes) - min(sizes) <= 1 or grown.moving
    assert not done.moving and not done.left
    assert Layout.model_validate_json(done.model_dump_json()) == done


@given(layouts())
def test_begun_moves_go_first_and_no_bucket_moves_twice(layout: Layout) -> None:
    moves = layout.next_moves()
    assert moves[: len(layout.moving)] == list(layout.moving.items())
    assert len(dict(moves)) == len(moves)
    assert all(layout.home[bucket] != shard for bucket, shard in moves)


@given(st.integers(1, 40), st.integers(0, 40))
def test_growth_moves_no_more_than_it_must(shards: int, more: int) -> None:
    grown = Layout.even(shards).grown(shards + more)
    assert all(to >= shards for _, to in grown.next_moves())
    done = carried_out(grown)
    assert sum(a != b for a, b in zip(grown.home, done.home, strict=True)) == len(grown.next_moves())
    assert carried_out(done) == done


def test_a_move_shows_where_a_bucket_is_on_its_way() -> None:
    layout = Layout.even(1).grown(2)
    moving = layout.begin_moves({7: 1})
    assert (moving.home[7], moving.moving, moving.left) == (0, {7: 1}, {})
    arrived = moving.end_moves([7])
    assert (arrived.home[7], arrived.moving, arrived.left) == (1, {}, {7: 0})
    assert arrived.cleared().left == {}


def test_a_store_does_not_shrink_or_outgrow_its_buckets() -> None:
    with pytest.raises(ValueError, match="not shrink"):
        Layout.even(3).grown(2)
    with pytest.raises(ValueError, match="at most"):
        Layout.even(3).grown(BUCKETS + 1)


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_users_bucket_is_one_of_all(tenant: str, user: str) -> None:
    assert 0 <= bucket_of(UserKey(tenant, user)) < BUCKETS


def test_users_of_all_kinds_spread_over_the_buckets() -> None:
    counts = Counter(bucket_of(UserKey("tenant", f"user-{number}")) for number in range(20 * BUCKETS))
    assert len(counts) == BUCKETS and max(counts.values()) < 60
    assert bucket_of(UserKey("tenant", "user-1")) == 511  # it must not change from release to release


def test_the_stored_map_is_made_once_and_changed_by_who_read_it(tmp_path: Path) -> None:
    file, other = (LayoutFile(LocalObjects(tmp_path)) for _ in range(2))
    first = file.load(2)
    assert other.load(5) == first == Layout.even(2)
    file.replace(first, first.grown(3))
    with pytest.raises(ChangedError):
        other.replace(first, first.grown(4))
    assert other.load(1) == first.grown(3)


def test_a_map_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    (tmp_path / KEY).write_text('{"shards": 2, "home": [0, 1]}')
    with pytest.raises(DamagedError, match=KEY):
        LayoutFile(LocalObjects(tmp_path)).load(2)
