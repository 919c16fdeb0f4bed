"""Three policy replicas in front of a slow model: who answers whom, who is refused, what a loss costs."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import Any

import httpx
import openai
import pytest
import yaml

from personavlm.deployments.keys import create_key
from tests.integration.conftest import Service, start, stop
from tests.integration.slow_model import ANSWER, PATIENCE_S, SlowModel, process_with_connection, serving

REPLICAS, EACH, QUEUED = 3, 2, 8
USERS = [f"user-{number}" for number in range(9)]


@pytest.fixture(scope="module")
def model() -> Iterator[SlowModel]:
    with serving() as model:
        yield model


@pytest.fixture(scope="module")
def served(model: SlowModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("replicas")
    keys = folder / "keys.json"
    key, plain, foreign = (
        create_key(keys, "acme", replay=True),
        create_key(keys, "narrow"),
        create_key(keys, "poor"),
    )
    process, url = start(
        folder,
        engine=engine(model, "v1"),
        memory={"uri": str(folder / "memory"), "actors": 1},
        policy={"replicas": REPLICAS, "max_ongoing": EACH, "max_queued": QUEUED, "cpus": 0.1},
        limits={"tenants": {"narrow": {"concurrency": 1}, "poor": {"tokens_per_minute": 30}}},
    )
    yield Service(url, key, plain, foreign, folder, process.pid)
    stop(process)


def engine(model: SlowModel, version: str) -> dict[str, object]:
    url = f"http://127.0.0.1:{model.port}/v1"
    return {"kind": "openai", "base_url": url, "model": "slow", "version": version, "timeout_s": PATIENCE_S}


@pytest.fixture
def slow(model: SlowModel) -> Iterator[SlowModel]:
    model.hold()
    yield model
    model.let_go()


def body(user: str, words: str, **more: object) -> dict[str, object]:
    messages = [{"role": "user", "content": words}]
    return {"model": "slow", "user": user, "messages": messages, "metadata": {"trace": "true"}, **more}


def post(
    service: Service, user: str, words: str, *, key: str | None = None, headers: dict[str, str] | None = None
) -> httpx.Response:
    with httpx.Client(base_url=service.url, timeout=PATIENCE_S) as client:
        sent = {"Authorization": f"Bearer {key or service.key}", **(headers or {})}
        return client.post("/v1/chat/completions", json=body(user, words), headers=sent)


def answered(response: httpx.Response) -> dict[str, Any]:
    """The trace of a reply that must be one."""
    assert response.status_code == 200, response.text
    reply = response.json()
    assert reply["choices"][0]["message"]["content"] == ANSWER
    return reply["personavlm"]


def replica_of(service: Service, user: str) -> str:
    return answered(post(service, user, "Hello."))["replica"]


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def turns(service: Service, user: str, key: str | None = None) -> list[str]:
    with service.http(key) as client:
        entries = client.get(f"/v1/users/{user}/timeline", params={"limit": 1000}).json()["data"]
    return [entry["text"] for entry in reversed(entries) if entry["kind"] == "turn"]


def test_each_user_keeps_to_one_replica_while_there_is_room(served: Service) -> None:
    seen = {user: {replica_of(served, user) for _ in range(4)} for user in USERS}
    assert all(len(replicas) == 1 for replicas in seen.values())
    assert len(Counter(replica for replicas in seen.values() for replica in replicas)) == REPLICAS


def test_others_answer_for_a_replica_that_is_full(served: Service, slow: SlowModel) -> None:
    home = replica_of(served, "ana")
    with ThreadPoolExecutor(EACH) as talking:
        held = [talking.submit(post, served, "ana", "Wait for me.") for _ in range(EACH)]
        slow.wait_for(begun=EACH)
        assert replica_of(served, "ana") != home
        slow.let_go()
        assert {answered(reply.result())["replica"] for reply in held} == {home}
    assert replica_of(served, "ana") == home


def test_who_comes_when_all_are_full_and_the_queue_too_is_told_when_to_come_back(
    served: Service, slow: SlowModel
) -> None:
    room = REPLICAS * EACH
    with ThreadPoolExecutor(room + QUEUED + 1) as talking:
        # One after the other: a burst is counted as waiting before it is seen that there is room.
        held = []
        for number in range(room):
            held.append(talking.submit(post, served, USERS[number], f"Wait {number}."))
            slow.wait_for(begun=number + 1)
        more = [talking.submit(post, served, "ana", "Hello.") for _ in range(QUEUED + 1)]
        refused = next(iter(wait(more, PATIENCE_S, FIRST_COMPLETED).done)).result()
        assert code(refused) == (429, "rate_limit_exceeded")
        assert refused.json()["error"]["type"] == "rate_limit_error"
        assert int(refused.headers["Retry-After"]) > 0
        slow.let_go()
        for reply in held:
            answered(reply.result())
        assert Counter(reply.result().status_code for reply in more) == {200: QUEUED, 429: 1}


def test_a_message_that_finds_no_free_replica_by_its_deadline_is_given_up(
    served: Service, slow: SlowModel
) -> None:
    with ThreadPoolExecutor(REPLICAS * EACH) as talking:
        held = []
        for number in range(REPLICAS * EACH):
            held.append(talking.submit(post, served, USERS[number], f"Wait {number}."))
            slow.wait_for(begun=number + 1)
        late = post(served, "ben", "I am in a hurry.", headers={"X-Request-Timeout": "0.3"})
        assert code(late) == (504, "deadline_exceeded")
        assert "waited for a free replica" in late.json()["error"]["message"]
        slow.let_go()
        for reply in held:
            answered(reply.result())
    assert turns(served, "ben") == []


def test_a_reply_that_is_late_stops_the_engine_and_is_not_stored(served: Service, slow: SlowModel) -> None:
    late = post(served, "late", "Wait for ever.", headers={"X-Request-Timeout": "1"})
    assert code(late) == (504, "deadline_exceeded")
    slow.wait_for(abandoned=1)
    error, words = stream(served, "late", {"X-Request-Timeout": "1"})
    assert (error["code"], error["type"]) == ("deadline_exceeded", "server_error")
    assert words and ANSWER.startswith(words)
    slow.wait_for(abandoned=2)
    assert turns(served, "late") == []


def stream(service: Service, user: str, headers: dict[str, str]) -> tuple[dict[str, Any], str]:
    """The error at the end of a streamed reply to "Wait", and what came of the answer before it."""
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key=service.key, max_retries=0) as client:
        chunks = client.chat.completions.create(
            model="slow", user=user, stream=True, extra_headers=headers,
            messages=[{"role": "user", "content": "Wait for me."}],
        )  # fmt: skip
        words = ""
        with pytest.raises(openai.APIError) as caught:
            for chunk in chunks:
                words += chunk.choices[0].delta.content or ""
    assert isinstance(caught.value.body, dict)
    return caught.value.body, words


@pytest.mark.parametrize("seconds", ["soon", "0", "-1", "nan", "inf", "601"])
def test_a_bad_timeout_is_refused_by_the_name_of_its_header(served: Service, seconds: str) -> None:
    refused = post(served, "late", "Hello.", headers={"X-Request-Timeout": seconds})
    assert code(refused) == (400, "invalid_value")
    assert refused.json()["error"]["param"].lower() == "x-request-timeout"


def test_a_tenant_has_as_many_messages_at_a_time_as_it_may(served: Service, slow: SlowModel) -> None:
    with ThreadPoolExecutor(1) as talking:
        held = talking.submit(post, served, "ana", "Wait for me.", key=served.plain_key)
        slow.wait_for(begun=1)
        refused = post(served, "ben", "Hello.", key=served.plain_key)
        assert code(refused) == (429, "concurrency_limit_exceeded")
        assert refused.headers["Retry-After"] == "1"
        answered(post(served, "ben", "Hello."))  # another tenant
        slow.let_go()
        answered(held.result())
    answered(post(served, "ben", "Hello.", key=served.plain_key))


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_stops_the_engine_and_counts_no_longer(
    served: Service, slow: SlowModel, stream: bool
) -> None:
    headers = {"Authorization": f"Bearer {served.plain_key}"}
    async with httpx.AsyncClient(base_url=served.url, headers=headers, timeout=PATIENCE_S) as client:
        words = body("gone", "Wait for me.", stream=stream)
        asking = asyncio.create_task(client.post("/v1/chat/completions", json=words))
        await asyncio.to_thread(slow.wait_for, begun=1)
        asking.cancel()
    await asyncio.to_thread(slow.wait_for, abandoned=1)
    for _ in range(100):
        if post(served, "ben", "Hello.", key=served.plain_key).status_code == 200:
            break
    else:
        raise AssertionError("the message still counts")
    assert turns(served, "gone", served.plain_key) == []


def test_a_tenant_that_has_used_up_its_tokens_waits(served: Service) -> None:
    assert answered(post(served, "ana", "Hello.", key=served.foreign_key))  # 60 tokens, of 30 a minute
    refused = post(served, "ana", "Hello.", key=served.foreign_key)
    assert code(refused) == (429, "token_limit_exceeded")
    assert 30 < int(refused.headers["Retry-After"]) <= 62
    assert turns(served, "ana", served.foreign_key) == ["Hello."]


def test_a_replica_that_is_killed_while_it_streams_ends_the_stream_with_an_error(
    served: Service, slow: SlowModel
) -> None:
    home = replica_of(served, "kim")
    before = turns(served, "kim")
    with ThreadPoolExecutor(2) as talking:
        streamed = talking.submit(stream, served, "kim", {})
        slow.wait_for(begun=1)
        whole = talking.submit(post, served, "kim", "Wait, and do not stream.")
        slow.wait_for(begun=2)
        os.kill(process_with_connection(slow.ports[0]), signal.SIGKILL)
        error, words = streamed.result(PATIENCE_S)
        refused = whole.result(PATIENCE_S)
    assert (error["code"], error["type"]) == ("reply_broke_off", "server_error")
    assert ANSWER.startswith(words)
    assert refused.status_code == 503 and int(refused.headers["Retry-After"]) > 0
    assert turns(served, "kim") == before
    assert replica_of(served, "kim") != home
    assert turns(served, "kim") == [*before, "Hello."]


def rollout(
    service: Service, model: SlowModel, version: str, **policy: object
) -> subprocess.CompletedProcess[str]:
    file = service.folder / "config.yaml"
    config = yaml.safe_load(file.read_text())
    config["engine"] = engine(model, version)
    config["policy"] |= policy
    new = service.folder / f"{version}.yaml"
    new.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "personavlm.deployments", "rollout", "--config", str(new)]
    return subprocess.run(command, text=True, capture_output=True, check=False, timeout=PATIENCE_S * 3)


def test_a_new_version_takes_over_without_a_failed_request(served: Service, slow: SlowModel) -> None:
    done = False

    def talk(user: str) -> list[str]:
        versions: list[str] = []
        while not done or len(versions) < 2:
            versions.append(answered(post(served, user, "Hello."))["model_version"])
        return versions

    with ThreadPoolExecutor(5) as talking:
        held = talking.submit(post, served, "long", "Wait for the new version.")
        slow.wait_for(begun=1)
        load = [talking.submit(talk, user) for user in USERS[:3]]
        rolling = talking.submit(rollout, served, slow, "v2")
        while "v2" not in answered(post(served, "watch", "Hello."))["model_version"]:
            pass
        slow.let_go()  # an old replica ends the reply that it has begun
        assert answered(held.result())["model_version"] == "v1"
        finished = rolling.result()
        assert finished.returncode == 0, finished.stderr
        done = True
        for versions in load:
            assert versions.result()[0] == "v1" and versions.result()[-1] == "v2"
    with served.http() as client:
        assert client.get("/v1/models").json()["data"][0]["version"] == "v2"
        turn = answered(post(served, "watch", "Hello."))["turn_id"]
        assert client.get(f"/v1/users/watch/turns/{turn}").json()["model"] == "slow@v2"


def test_a_rollout_that_can_never_start_leaves_the_old_replicas_alone(
    served: Service, slow: SlowModel
) -> None:
    failed = rollout(served, slow, "v3", gpus=1)
    assert failed.returncode == 1
    assert "no node could ever run a policy replica" in failed.stderr and "Traceback" not in failed.stderr
    assert answered(post(served, "watch", "Hello."))["model_version"] != "v3"
