"""The simulation against what is known of queues in closed form."""

import math

import pytest

from tests.benchmarks.capacity_parts.queueing import Load, Outcome, Simulation, Visit, mean_wait_s
from tests.benchmarks.capacity_parts.stations import Processors, Queue

TURNS = 60_000


def simulate(servers: float, visit: Visit, rate: float, update: tuple[Visit, ...] = ()) -> Outcome:
    return Simulation({"cpu": Queue(servers)}, Load(rate, (visit,), update), TURNS).run()


@pytest.mark.parametrize(("servers", "used"), [(1, 0.5), (1, 0.8), (2, 0.7), (8, 0.85)])
def test_the_mean_wait_is_erlangs(servers: int, used: float) -> None:
    rate = used * servers / 0.02
    outcome = simulate(servers, Visit("cpu", 0.02), rate)
    assert outcome.waited_s["cpu"] == pytest.approx(mean_wait_s(rate, 0.02, servers), rel=0.12)
    assert outcome.used["cpu"] == pytest.approx(used, rel=0.03)


@pytest.mark.parametrize("spread", [0.0, 0.5, 2.0])
def test_the_wait_for_one_server_is_pollaczeks_and_khinchines(spread: float) -> None:
    used, service = 0.6, 0.02
    outcome = simulate(1, Visit("cpu", service, spread), used / service)
    wanted = used * service * (1 + spread**2) / (2 * (1 - used))
    assert outcome.waited_s["cpu"] == pytest.approx(wanted, rel=0.15)


def test_a_turn_takes_an_exponential_time_in_all_where_one_server_does() -> None:
    used, service = 0.7, 0.02
    outcome = simulate(1, Visit("cpu", service), used / service)
    rest = service / (1 - used)  # the mean sojourn in M/M/1, which is exponential
    for share in (0.5, 0.95):
        assert outcome.percentile(share) == pytest.approx(-rest * math.log(1 - share), rel=0.1)


def test_turns_wait_for_updates_only_as_cobham_says() -> None:
    turn, update, rate = 0.01, 0.02, 25.0
    outcome = simulate(1, Visit("cpu", turn), rate, (Visit("cpu", update),))
    residual = rate * (turn**2 + update**2)  # of exponential services: half of their second moments
    turns, both = rate * turn, rate * (turn + update)
    waited = sum(outcome.turns_s) / len(outcome.turns_s) - turn
    assert waited == pytest.approx(residual / (1 - turns), rel=0.15)
    behind = sum(outcome.updates_s) / len(outcome.updates_s) - update
    assert behind == pytest.approx(residual / ((1 - turns) * (1 - both)), rel=0.3)


def test_a_delay_delays_and_nobody_waits() -> None:
    outcome = simulate(math.inf, Visit("cpu", 0.5, 0), 200)
    assert outcome.waited_s["cpu"] == 0 and outcome.percentile(0.99) == pytest.approx(0.5)


@pytest.mark.parametrize("spread", [0.0, 1.0, 2.0])
def test_on_a_shared_processor_only_the_mean_matters(spread: float) -> None:
    used, service = 0.6, 0.02
    load = Load(used / service, (Visit("cpu", service, spread),))
    outcome = Simulation({"cpu": Processors(1)}, load, TURNS).run()
    mean = sum(outcome.turns_s) / len(outcome.turns_s)
    assert mean == pytest.approx(
        service / (1 - used), rel=0.1
    )  # M/G/1 with processor sharing (Kleinrock 1967)
    assert outcome.used["cpu"] == pytest.approx(used, rel=0.03)


def test_exponential_turns_share_processors_as_they_queue_for_them() -> None:
    rate, service = 70.0, 0.02  # the number present is the same birth and death process, so is the mean time
    outcome = Simulation({"cpu": Processors(2)}, Load(rate, (Visit("cpu", service),)), TURNS).run()
    assert outcome.waited_s["cpu"] == pytest.approx(mean_wait_s(rate, service, 2), rel=0.12)


def test_what_is_made_beside_a_turn_slows_others_only() -> None:
    turn, beside = (Visit("cpu", 0.02, 0),), (Visit("cpu", 0.02, 0),)
    calm = Simulation({"cpu": Processors(2)}, Load(0.01, turn, beside=beside), 1000).run()
    assert calm.percentile(0.9) == pytest.approx(0.02)
    busy, without = (
        Simulation({"cpu": Processors(2)}, Load(30, turn, beside=made), TURNS).run() for made in (beside, ())
    )
    assert busy.used["cpu"] == pytest.approx(2 * without.used["cpu"], rel=0.03)
    assert busy.percentile(0.5) > 1.2 * without.percentile(0.5)


def test_every_turn_and_every_update_ends() -> None:
    load = Load(50, (Visit("a", 0.01), Visit("b", 0.02, 0)), (Visit("b", 0.01),))
    outcome = Simulation({"a": Queue(2), "b": Queue(4)}, load, 1000).run()
    assert len(outcome.turns_s) == 900
    assert len(outcome.updates_s) >= 900


def test_more_than_the_servers_can_do_is_refused_by_the_formula() -> None:
    with pytest.raises(ValueError, match="2 servers"):
        mean_wait_s(300, 0.01, 2)
