"""Replicas are added while there is more to answer than those that there are should do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from personavlm.deployments.keys import create_key
from tests.integration.conftest import Service, start, stop
from tests.integration.slow_model import serving
from tests.integration.test_many_replicas import answered, engine, post, replica_of

EACH = 2


def test_a_second_replica_answers_who_waits_for_the_first(tmp_path: Path) -> None:
    key = create_key(tmp_path / "keys.json", "acme")
    scaling = {"max_replicas": 2, "target_ongoing": 1, "up_after_s": 0}
    with serving() as model, ThreadPoolExecutor(EACH) as talking:
        process, url = start(
            tmp_path,
            engine=engine(model, "v1"),
            memory={"uri": str(tmp_path / "memory"), "actors": 1},
            policy={"autoscaling": scaling, "max_ongoing": EACH},
        )
        service = Service(url, key, key, key, tmp_path, process.pid)
        first = replica_of(service, "ana")
        held = [talking.submit(post, service, "ana", "Wait for me.") for _ in range(EACH)]
        model.wait_for(begun=EACH)
        assert replica_of(service, "ana") != first
        model.let_go()
        assert {answered(reply.result())["replica"] for reply in held} == {first}
        stop(process)
