"""The whole service with the engine `transformers`: no GPU, no vLLM."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from personavlm.deployments.keys import create_key
from tests.integration.conftest import Service, start, stop
from tests.tiny_checkpoint import write_talking_checkpoint
from tests.vllm.talking import ask, spoken, turns


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    model = write_talking_checkpoint(folder / "talker", [f" cedar{i}" for i in range(24)])
    key = create_key(folder / "keys.json", "acme", replay=True)
    process, url = start(
        folder,
        engine={"kind": "transformers", "model": str(model), "dtype": "float32", "context_tokens": 4096},
        memory={"uri": str(folder / "memory"), "actors": 1},
        agent={"max_tokens": 100},
    )
    yield Service(url, key, key, key, folder, process.pid)
    stop(process)


def test_a_reply_streams_and_is_stored_with_its_version(served: Service) -> None:
    chunks = list(ask(served, "ana", stream=True))
    pieces = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
    assert len(pieces) > 1 and spoken("".join(pieces)) == {"c"}
    assert len(turns(served, "ana")) == 1


def test_several_at_once_are_answered(served: Service) -> None:
    streams = [ask(served, f"user-{i}", stream=True) for i in range(4)]
    assert all(len(list(stream)) > 3 for stream in streams)


def test_a_message_longer_than_the_context_is_refused_and_the_service_goes_on(served: Service) -> None:
    with served.http() as client:
        body = {"model": "talker", "user": "bob", "messages": [{"role": "user", "content": "long " * 5000}]}
        refused = client.post("/v1/chat/completions", json=body)
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "context_length_exceeded"
    assert turns(served, "bob") == []
    assert spoken(ask(served, "bob").choices[0].message.content) == {"c"}
