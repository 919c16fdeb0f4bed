"""The whole service with two replicas of vLLM, whose tiny model speaks the grammar."""

from __future__ import annotations

import base64
import io
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

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
from tests.vllm.talking import PATIENCE_S, ask, spoken, turns
from tests.vllm.tiny_adapter import write_adapter

OLD, NEW = ([f" {word}{i}" for i in range(24)] for word in ("amber", "birch"))


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


def a_replica(service: Service) -> psutil.Process:
    """The process of some policy replica."""
    processes = psutil.Process(service.pid).children(recursive=True)
    return next(process for process in processes if "ServeReplica:personavlm:policy" in process.name())


def replica_of(service: Service, user: str) -> str:
    return str(ask(service, user).model_extra["personavlm"]["replica"])


def users_apart(service: Service) -> dict[str, str]:
    """Two users by their replicas, which differ; waits for both replicas."""
    deadline = time.monotonic() + PATIENCE_S
    found: dict[str, str] = {}
    users = cycle(f"user-{number}" for number in range(20))
    while len(found) < 2:
        assert time.monotonic() < deadline, f"only {len(found)} replicas answer"
        user = next(users)
        found.setdefault(replica_of(service, user), user)
    return found


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
    assert len(pieces) > 1 and spoken("".join(pieces)) == {"a"}


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
    for replica, user in users_apart(served).items():
        assert {replica_of(served, user) for _ in range(4)} == {replica}


def test_a_replica_killed_in_mid_stream_ends_its_streams_and_the_service_goes_on(served: Service) -> None:
    two = list(users_apart(served).values())
    before = {user: len(turns(served, user)) for user in two}
    replica = a_replica(served)  # looked up before: it takes a while, and the streams would be over
    streams = {user: ask(served, user, stream=True) for user in two}
    for stream in streams.values():
        next(iter(stream))
    replica.send_signal(signal.SIGKILL)
    broken = {user: _error(stream) for user, stream in streams.items()}
    assert sorted(broken.values(), key=str) == [None, "reply_broke_off"]  # each had a replica of its own
    for user, code in broken.items():
        assert len(turns(served, user)) == before[user] + (code is None)
        assert ask(served, user).choices[0].message.content


def _error(stream: Iterator[object]) -> str | None:
    """Read a stream to its end; the code of the error that it ended with."""
    try:
        for _ in stream:
            pass
    except openai.APIError as error:
        return error.code
    return None


def test_new_weights_roll_out_under_load_without_a_failed_request(
    served: Service, models: dict[str, Path]
) -> None:
    users_apart(served)  # the killed replica is back
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
