"""The home actor of users is killed with `kill -9` while it works; nothing is lost, nothing doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.integration.conftest import Service

LINES = [
    "My favourite drink is cappuccino.",
    "I climb every Thursday with my friend Jonas.",
    "My sister Ana lives in Porto.",
    "I'm worried about the race, I feel nervous and stressed.",
    "I switched from cappuccino to matcha.",
    "Please remember that I am allergic to walnuts.",
    "I want to run a half marathon in May.",
    "I planned every week carefully and made a checklist.",
]
KILLS = 6


def history(days: int = 12) -> list[dict[str, str]]:
    """A session a day, all lines in every one of them, each time with another number."""
    return [
        {
            "client_id": f"d{day}-{number}",
            "event_time": f"2026-03-{day + 1:02d}T08:{number:02d}:00+01:00",
            "user_text": f"{line} Day {day}.",
            "assistant_text": "All right.",
        }
        for day in range(days)
        for number, line in enumerate(LINES)
    ]


def kill_homes(service: Service) -> int:
    """`kill -9` for the memory actors of this service and of no other; how many there were."""
    listing = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], text=True, capture_output=True, check=True)
    rows = [line.split(maxsplit=2) for line in listing.stdout.splitlines()]
    parent = {int(pid): int(ppid) for pid, ppid, *_ in rows}
    killed = 0
    for pid in (int(row[0]) for row in rows if row[-1].startswith("ray::MemoryActor")):
        ancestor = pid
        while ancestor not in (0, service.pid):
            ancestor = parent.get(ancestor, 0)
        if ancestor == service.pid:
            os.kill(pid, signal.SIGKILL)
            killed += 1
    return killed


def import_turns(client: httpx.Client, user: str, turns: list[dict[str, str]]) -> None:
    """As a client should: a request that failed for a passing reason is sent again."""
    for turn in turns:
        for _ in range(100):
            reply = client.post("/v1/turns", json={"user": user, "turns": [turn]})
            if reply.status_code == 200:
                break
            assert reply.status_code == 503, reply.text
        assert reply.status_code == 200


def finish(client: httpx.Client, user: str) -> None:
    for _ in range(100):
        reply = client.post(f"/v1/users/{user}/sessions/close", json={"now": "2026-04-01T00:00:00Z"})
        if reply.status_code == 200:
            return
        assert reply.status_code == 503, reply.text
    raise AssertionError("the updates never finished")


def state(client: httpx.Client, user: str) -> dict[str, list]:
    """Everything that is known, in the words of the user's own turns instead of ids."""
    data = client.get(f"/v1/users/{user}/memories", params={"include_ended": "true"}).json()["data"]
    timeline = client.get(f"/v1/users/{user}/timeline", params={"limit": 1000}).json()["data"]
    profile = client.get(f"/v1/users/{user}/profile").json()
    words = {e["id"]: e["text"] for e in timeline if e["kind"] == "turn"}
    fields = ("kind", "text", "event_time", "valid_to", "version", "deleted")
    return {
        "turns": [e["text"] for e in timeline if e["kind"] == "turn"],
        "memories": sorted(str([*(m[f] for f in fields), [words[i] for i in m["evidence"]]]) for m in data),
        "profile": [(v["event_time"], v["traits"]) for v in profile["history"]],
    }


def test_updates_survive_kills_at_random_points(own_service: Service) -> None:
    turns = history()
    with own_service.http() as client:
        import_turns(client, "calm", turns)
        finish(client, "calm")
        with ThreadPoolExecutor(1) as background:
            importing = background.submit(import_turns, client, "stormy", turns)
            killed = 0
            for _ in range(KILLS):
                time.sleep(random.uniform(0.2, 1.5))
                killed += kill_homes(own_service)
            importing.result()
        finish(client, "stormy")
        calm, stormy = state(client, "calm"), state(client, "stormy")
    assert killed
    assert len(stormy["turns"]) == len(turns)
    assert stormy == calm


def test_chat_turns_whose_reply_ended_survive(own_service: Service) -> None:
    with own_service.http() as client:
        acknowledged, killed = [], 0
        for number in range(12):
            body = {
                "model": "rules",
                "user": "u",
                "messages": [{"role": "user", "content": f"Note number {number}."}],
            }
            reply = client.post("/v1/chat/completions", json=body)
            if reply.status_code == 200:
                acknowledged.append(reply.json()["personavlm"]["turn_id"])
            else:
                assert reply.status_code == 503, reply.text
            if number % 4 == 3:
                killed += kill_homes(own_service)
        finish(client, "u")
        stored = [
            e["id"]
            for e in client.get("/v1/users/u/timeline", params={"limit": 1000}).json()["data"]
            if e["kind"] == "turn"
        ]
    assert killed
    assert len(acknowledged) >= 9
    assert sorted(set(acknowledged) - set(stored)) == []
    assert len(stored) == len(set(stored))
