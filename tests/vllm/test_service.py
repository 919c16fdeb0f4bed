"""The whole service with two replicas of vLLM, whose tiny model speaks the grammar."""

from __future__ import annotations

import base64
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest
import yaml
from PIL import Image

from personavlm.deployments.keys import create_key
from personavlm.platform.agent.loop import NO_ANSWER
from tests.integration.conftest import Service, start, stop
from tests.tiny_checkpoint import write_talking_checkpoint
from tests.vllm.tiny_adapter import write_adapter

OLD, NEW = ([f" {word}{i}" for i in range(24)] for word in ("amber", "birch"))
PATIENCE_S = 240


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two checkpoints with words of their own, and an adapter of the first, which never comes to an end."""
    folder = tmp_path_factory.mktemp("models")
    old = write_talking_checkpoint(folder / "old", OLD, again=1.0, search=0.2)
    new = write_talking_checkpoint(folder / "new", NEW, again=0.0, search=0.2)
    return {"old": old, "new": new, "adapter": write_adapter(folder / "adapter", old, 1)}


def config(models: dict[str, Path], name: str) -> dict[str, object]:
    return {
        "kind": "vllm", "model": str(models[name]), "name": "talker", "dtype": "float32",
        "context_tokens": 4096, "compile": False, "kv_cache_mb": 64, "max_batch": 8,
        "adapters": {"warm": {"path": str(models["adapter"]), "tenants": ["acme"]}}, "adapter_rank": 8,
    }  # fmt: skip


@pytest.fixture(scope="module")
def served(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    keys = folder / "keys.json"
    key, foreign = create_key(keys, "acme", replay=True), create_key(keys, "other")
    process, url = start(
        folder,
        engine=config(models, "old"),
        memory={"uri": str(folder / "memory"), "actors": 1},
        policy={"replicas": 2, "cpus": 0.1, "drain_s": 120},
        agent={"max_tokens": 300, "temperature": 1.0},
    )
    yield Service(url, key, key, foreign, folder, process.pid)
    stop(process)


def ask(service: Service, user: str, content: Any = "hello", **options: Any) -> Any:  # noqa: ANN401
    client = service.openai().with_options(timeout=PATIENCE_S)
    options = {"model": "talker", "metadata": {"trace": "true", "reasoning": "true"}} | options
    return client.chat.completions.create(
        user=user, messages=[{"role": "user", "content": content}], **options
    )


def spoken(text: str) -> set[str]:
    """The first letters of the words that were said."""
    return {word[0] for word in text.split()}


def turns(service: Service, user: str) -> list[dict[str, Any]]:
    with service.http() as client:
        entries = client.get(f"/v1/users/{user}/timeline", params={"limit": 100}).json()["data"]
    return [entry for entry in entries if entry["kind"] == "turn"]


def replicas(service: Service) -> list[psutil.Process]:
    """The processes of the policy replicas, by the service's own process tree."""
    names = ((process, process.name()) for process in psutil.Process(service.pid).children(recursive=True))
    return [process for process, name in names if "policy" in name and "ServeReplica" in name]


def test_a_text_is_answered_and_stored_with_the_version_of_the_weights(served: Service) -> None:
    reply = ask(served, "ana")
    assert spoken(reply.choices[0].message.content) == {"a"}
    assert reply.choices[0].message.reasoning_content
    assert reply.usage.prompt_tokens > 500 and reply.usage.completion_tokens > 5
    assert len(turns(served, "ana")) == 1
    with served.http() as client:
        [model] = [m for m in client.get("/v1/models").json()["data"] if m["id"] == "talker"]
    assert len(model["version"]) == 12


def test_an_image_reaches_the_model_and_stays_in_the_session(served: Service) -> None:
    data = io.BytesIO()
    Image.new("RGB", (280, 140), "orange").save(data, "PNG")
    url = "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    without = ask(served, "bob", "What is this?", metadata={"remember": "false"}).usage.prompt_tokens
    seen = ask(served, "bob", parts)
    steps = len(seen.model_extra["personavlm"]["steps"])
    assert seen.usage.prompt_tokens >= without + 50 or steps > 1
    assert ask(served, "bob", "And now?").choices[0].message.content
    assert len(turns(served, "bob")) == 2


def test_a_stream_comes_in_pieces(served: Service) -> None:
    chunks = list(ask(served, "cleo", stream=True))
    pieces = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
    assert len(pieces) > 3 and spoken("".join(pieces)) == {"a"}


def test_a_client_that_leaves_stops_its_reply(served: Service) -> None:
    for _ in range(4):
        stream = ask(served, "dora", stream=True)
        next(iter(stream))
        stream.close()
    assert spoken(ask(served, "dora").choices[0].message.content) == {"a"}
    assert len(turns(served, "dora")) < 5  # one or another may have been over before its client had left


def test_updates_are_made_by_the_same_model_within_their_schema(served: Service) -> None:
    """Whatever ids the model likes best, five scores from 1 to 5 come out, and move the profile."""
    ask(served, "emil", "I love trying new food and meeting people.")
    deadline = time.monotonic() + PATIENCE_S
    with served.http() as client:
        while True:
            status = client.get("/v1/users/emil/profile")
            assert status.status_code == 200
            if any(score != 3 for score in status.json()["traits"].values()):
                break
            assert time.monotonic() < deadline, "the profile never moved"
            threading.Event().wait(0.5)
    assert all(1 <= score <= 5 for score in status.json()["traits"].values())


def test_a_tenant_has_an_adapter_that_another_does_not_see(served: Service) -> None:
    assert ask(served, "fay", model="warm").choices[0].message.content
    with pytest.raises(openai.NotFoundError, match="'warm' is not served here"):
        served.openai(served.foreign_key).chat.completions.create(
            model="warm", user="fay", messages=[{"role": "user", "content": "hello"}]
        )
    with served.http(served.foreign_key) as client:
        assert [m["id"] for m in client.get("/v1/models").json()["data"]] == ["talker"]


def test_a_user_keeps_to_one_replica_whose_cache_knows_the_prompt(served: Service) -> None:
    seen: dict[str, set[str]] = {}
    for user in (f"user-{i}" for i in range(6)):
        seen[user] = {ask(served, user).model_extra["personavlm"]["replica"] for _ in range(2)}
    assert all(len(one) == 1 for one in seen.values())
    assert len(set.union(*seen.values())) == 2


def test_a_replica_killed_in_mid_stream_ends_its_streams_and_the_service_goes_on(served: Service) -> None:
    begun = threading.Barrier(7)
    broken, whole = set(), set()

    def listen(user: str) -> None:
        stream = ask(served, user, stream=True)
        next(iter(stream))
        begun.wait(PATIENCE_S)
        try:
            list(stream)
            whole.add(user)
        except openai.APIError as error:
            assert error.code == "reply_broke_off"
            broken.add(user)

    listeners = [threading.Thread(target=listen, args=(f"victim-{i}",)) for i in range(6)]
    for listener in listeners:
        listener.start()
    begun.wait(PATIENCE_S)
    os.kill(replicas(served)[0].pid, signal.SIGKILL)
    for listener in listeners:
        listener.join()
    assert len(broken) + len(whole) == 6
    assert broken
    assert all(turns(served, user) == [] for user in broken)
    assert all(len(turns(served, user)) == 1 for user in whole)
    for user in broken:
        assert ask(served, user).choices[0].message.content


def test_new_weights_roll_out_under_load_without_a_failed_request(
    served: Service, models: dict[str, Path]
) -> None:
    wait_for_replicas(served, 2)
    config_file = served.folder / "config.yaml"
    told = yaml.safe_load(config_file.read_text()) | {"engine": config(models, "new")}
    (served.folder / "new.yaml").write_text(yaml.safe_dump(told))
    answers: list[str] = []
    failures: list[Exception] = []
    over = threading.Event()

    def talk(user: str) -> None:
        while not over.is_set():
            try:
                answers.append(ask(served, user).choices[0].message.content)
            except (openai.APIError, httpx.HTTPError) as error:
                failures.append(error)

    talkers = [threading.Thread(target=talk, args=(f"loader-{i}",)) for i in range(2)]
    for talker in talkers:
        talker.start()
    command = [sys.executable, "-m", "personavlm.deployments", "rollout", "--config", "new.yaml"]
    done = subprocess.run(command, cwd=served.folder, capture_output=True, text=True, timeout=500)
    over.set()
    for talker in talkers:
        talker.join()
    assert done.returncode == 0, done.stderr
    assert failures == []
    said = [spoken(answer) for answer in answers if answer != NO_ANSWER]
    assert all(words in ({"a"}, {"b"}) for words in said)  # never of two models in one reply
    assert said[0] == {"a"}
    assert spoken(ask(served, "late").choices[0].message.content) == {"b"}


def wait_for_replicas(service: Service, number: int) -> None:
    """Until as many answer users: a killed one takes a while to come back."""
    deadline = time.monotonic() + PATIENCE_S
    seen: set[str] = set()
    while len(seen) < number:
        assert time.monotonic() < deadline, f"only {len(seen)} replicas came back"
        seen = {ask(service, f"user-{i}").model_extra["personavlm"]["replica"] for i in range(6)}
