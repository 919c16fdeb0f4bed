"""Sessions of users who do not return close by themselves."""

from __future__ import annotations

import time
from pathlib import Path

from personavlm.deployments.keys import create_key
from tests.integration.conftest import Service, start, stop


def test_a_session_closes_though_its_user_does_not_return(tmp_path: Path) -> None:
    key = create_key(tmp_path / "keys.json", "acme")
    memory = {
        "uri": str(tmp_path / "memory"),
        "shards": 1,
        "session_gap_minutes": 0.05,
        "idle_check_s": 0.5,
    }
    process, url = start(tmp_path, memory=memory)
    service = Service(url, key, key, key, tmp_path, process.pid)
    with service.http() as client:
        body = {
            "model": "rules",
            "user": "ana",
            "messages": [{"role": "user", "content": "I moved to Porto with my cat Mochi."}],
        }
        reply = client.post("/v1/chat/completions", json=body).json()
        episodes: list[dict] = []
        deadline = time.monotonic() + 30
        while not episodes and time.monotonic() < deadline:
            episodes = client.get("/v1/users/ana/memories", params={"kind": "episodic"}).json()["data"]
    stop(process)
    assert [episode["evidence"] for episode in episodes] == [[reply["personavlm"]["turn_id"]]]
