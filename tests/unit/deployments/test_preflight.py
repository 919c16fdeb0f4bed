"""What is asked for against what is there."""

from __future__ import annotations

from personavlm.deployments.preflight import Part, lacking, parts, table
from personavlm.platform.config import Config, MemoryConfig, ServiceConfig
from personavlm.platform.serving_config import AutoscalingConfig, PolicyConfig

CONFIG = Config(
    memory=MemoryConfig(actors=4, cpus_per_actor=0.5),
    service=ServiceConfig(ingress_replicas=2, cpus_per_replica=0.25),
    policy=PolicyConfig(replicas=3, cpus=1, gpus=0.5, resources={"fast_disk": 1}),
)


def test_a_cluster_that_has_it_all() -> None:
    nodes = [{"CPU": 4, "GPU": 1, "fast_disk": 2}, {"CPU": 4, "GPU": 1, "fast_disk": 1}]
    assert lacking(parts(CONFIG), nodes) == []


def test_what_does_not_fit_is_named() -> None:
    assert lacking(parts(CONFIG), [{"CPU": 64, "GPU": 8}]) == ["policy"]
    assert set(lacking(parts(CONFIG), [])) == {"policy", "ingress", "memory actors"}


def test_a_process_needs_its_share_on_one_node() -> None:
    part = [Part("policy", 1, {"GPU": 2})]
    assert lacking(part, [{"GPU": 1}, {"GPU": 1}]) == ["policy"]
    assert lacking(part, [{"GPU": 1}, {"GPU": 2}]) == []


def test_those_that_need_a_gpu_are_placed_before_those_that_do_not() -> None:
    asked = [Part("ingress", 1, {"CPU": 1}), Part("policy", 1, {"CPU": 1, "GPU": 1})]
    assert lacking(asked, [{"CPU": 1, "GPU": 1}, {"CPU": 1}]) == []


def test_of_replicas_that_scale_the_least_must_fit() -> None:
    policy = PolicyConfig(autoscaling=AutoscalingConfig(min_replicas=2, max_replicas=9))
    assert parts(Config(policy=policy))[-1].count == 2


def test_the_table_has_a_column_for_what_anybody_asks() -> None:
    lines = table(parts(CONFIG), [{"CPU": 4, "memory": 2**30}, {"CPU": 1, "GPU": 1}]).splitlines()
    assert lines[0].split() == ["part", "count", "CPU", "GPU", "fast_disk"]
    assert lines[3].split() == ["policy", "3", "3", "1.5", "3"]
    assert lines[-2].split() == ["asked", "for", "5.5", "1.5", "3"]
    assert lines[-1].split() == ["free,", "on", "2", "nodes", "5", "1", "0"]
    assert len({len(line) for line in lines}) == 1


def test_every_part_asks_for_the_nodes_that_are_meant_for_it() -> None:
    config = Config.model_validate(
        {
            "memory": {"actors": 2, "resources": {"memory_node": 1}},
            "service": {"resources": {"ingress_node": 1}},
            "policy": {"cpus": 1, "resources": {"policy_node": 0.5}},
        }
    )
    nodes = [{"CPU": 4.0, "memory_node": 1.0}, {"CPU": 4.0, "ingress_node": 1.0, "policy_node": 1.0}]
    assert lacking(parts(config), nodes) == ["memory actors"]
    assert lacking(parts(config), [*nodes, {"CPU": 1.0, "memory_node": 1.0}]) == []
