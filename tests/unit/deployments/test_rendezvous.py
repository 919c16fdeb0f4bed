"""Users keep to a replica: laws of the order in which each of them asks the replicas."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from personavlm.deployments.rendezvous import preference

REPLICAS = st.sets(st.text("abcdef0123456789", min_size=8, max_size=8), min_size=1, max_size=8)


@given(session=st.text(), replicas=REPLICAS)
def test_every_replica_is_asked_once_in_an_order_that_all_agree_on(session: str, replicas: set[str]) -> None:
    order = preference(session, replicas)
    assert sorted(order) == sorted(replicas)
    assert order == preference(session, sorted(replicas, reverse=True))


@given(session=st.text(), replicas=REPLICAS, data=st.data())
def test_only_the_users_of_a_lost_replica_move(session: str, replicas: set[str], data: st.DataObject) -> None:
    lost = data.draw(st.sampled_from(sorted(replicas)))
    rest = [replica for replica in preference(session, replicas) if replica != lost]
    assert preference(session, replicas - {lost}) == rest


def test_users_are_spread_evenly_also_where_they_overflow_to() -> None:
    replicas = ["one", "two", "three"]
    orders = Counter(tuple(preference(f"tenant\0user-{n}", replicas)) for n in range(6000))
    assert len(orders) == 6
    assert all(850 < count < 1150 for count in orders.values())
