"""The service over nodes of its own kinds, as in production, and each kind lost in turn, told as JSON.

Run as a process of its own by `test_node_loss`, with a folder, the store's address and options, and a file
for the report. A lost node is replaced by a new one, as Kubernetes does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml
from ray.cluster_utils import Cluster

from personavlm.deployments.keys import create_key
from personavlm.deployments.local_ray import free_port

KINDS = ("ingress", "memory", "policy")
USERS = [f"user-{number}" for number in range(4)]
EACH = 2
"""Turns of each user before a loss, and after the first that succeeded again."""
PATIENCE_S = 200


class Talk:
    """Users who chat and import turns, each again until it is acknowledged."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._headers = url, {"Authorization": f"Bearer {key}"}
        self.chats: dict[str, list[str]] = {user: [] for user in USERS}
        self.imported: dict[str, int] = dict.fromkeys(USERS, 0)
        self.statuses: set[str] = set()
        self.over = threading.Event()
        self._threads = [threading.Thread(target=self._talk, args=(user,)) for user in USERS]
        for thread in self._threads:
            thread.start()

    def _talk(self, user: str) -> None:
        while not self.over.is_set():
            message = {"role": "user", "content": f"Note {len(self.chats[user])} of my day."}
            body = {"model": "rules", "user": user, "messages": [message]}
            reply = self._persevere("/v1/chat/completions", body)
            if reply is None:
                return
            self.chats[user].append(reply["personavlm"]["turn_id"])
            number = self.imported[user]
            turn = {
                "client_id": str(number),
                "event_time": f"2030-03-01T{number // 60:02d}:{number % 60:02d}:00Z",
                "user_text": f"imported {number}",
            }
            if self._persevere("/v1/turns", {"user": f"{user}-import", "turns": [turn]}) is None:
                return
            self.imported[user] += 1

    def _persevere(self, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """As a client does: again, on a new connection, until it is acknowledged; None once it is over."""
        while not self.over.is_set():
            try:
                reply = httpx.post(self._url + path, json=body, headers=self._headers, timeout=60)
            except httpx.TransportError as error:
                self.statuses.add(type(error).__name__)
            else:
                if reply.status_code == 200:
                    found: dict[str, Any] = reply.json()
                    return found
                self.statuses.add(str(reply.status_code))
            self.over.wait(0.1)  # a client is to pause before it comes again
        return None

    def go_on(self) -> float:
        """Return once every user was acknowledged some more; after how many seconds."""
        began = time.monotonic()
        wanted = {user: self.imported[user] + EACH for user in USERS}
        while any(self.imported[user] < wanted[user] for user in USERS):
            if time.monotonic() - began > PATIENCE_S:
                raise TimeoutError(f"service did not return: {self.statuses}")
            time.sleep(0.05)  # between two looks
        return time.monotonic() - began

    def end(self) -> None:
        self.over.set()
        for thread in self._threads:
            thread.join()

    def wrong(self) -> list[str]:
        """What was acknowledged and is not stored, or is stored twice."""
        found = []
        with httpx.Client(base_url=self._url, headers=self._headers, timeout=60) as client:
            for user in USERS:
                stored = [entry["id"] for entry in _turns(client, user)]
                found += [f"chat {turn} of {user} is lost" for turn in self.chats[user] if turn not in stored]
                texts = [entry["text"] for entry in reversed(_turns(client, f"{user}-import"))]
                kept = [f"imported {number}" for number in range(len(texts))]
                if texts != kept or len(texts) < self.imported[user]:
                    found.append(f"{user}: {self.imported[user]} imported, stored {texts}")
                if len(stored) != len(set(stored)):
                    found.append(f"{user}: doubled")
        return found


def _turns(client: httpx.Client, user: str) -> list[dict[str, Any]]:
    reply = client.get(f"/v1/users/{user}/timeline", params={"limit": 1000})
    return [entry for entry in reply.raise_for_status().json()["data"] if entry["kind"] == "turn"]


@contextmanager
def service(folder: Path, cluster: Cluster, memory: dict[str, Any]) -> Iterator[str]:
    """The real command against the cluster; the URL, once it is ready."""
    port = free_port()
    config = {
        "ray_address": cluster.address,
        "service": {"port": port, "keys_file": str(folder / "keys.json"), "resources": {"ingress_slot": 1}},
        "memory": {**memory, "shards": 1, "actors": 1, "resources": {"memory_slot": 1}},
        "policy": {"resources": {"policy_slot": 1}},
    }
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "personavlm.deployments", "serve", "--config", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            if "ready" in line:
                yield f"http://127.0.0.1:{port}"
                break
        else:
            raise RuntimeError(f"the service ended with status {process.wait()}")
        process.kill()


def run(folder: Path, memory: dict[str, Any]) -> dict[str, Any]:
    """Every loss in turn, with what was seen of each."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = {kind: _add(cluster, kind) for kind in KINDS}
    key = create_key(folder / "keys.json", "acme", replay=True)
    report: dict[str, Any] = {}
    with service(folder, cluster, memory) as url:
        talk = Talk(url, key)
        try:
            talk.go_on()
            for kind in KINDS:
                cluster.remove_node(nodes[kind], allow_graceful=False)
                nodes[kind] = _add(cluster, kind)
                report[kind] = {"back_s": round(talk.go_on(), 1), "statuses": sorted(talk.statuses)}
                talk.statuses.clear()
                print(kind, report[kind], file=sys.stderr, flush=True)
        finally:
            talk.end()
        report["wrong"] = talk.wrong()
        report["acknowledged"] = sum(talk.imported.values()) + sum(map(len, talk.chats.values()))
    cluster.shutdown()
    return report


def _add(cluster: Cluster, kind: str) -> Any:  # noqa: ANN401 - a class of Ray's own tests
    return cluster.add_node(num_cpus=1, resources={f"{kind}_slot": 1})


if __name__ == "__main__":
    told = run(Path(sys.argv[1]), json.loads(sys.argv[2]))
    Path(sys.argv[3]).write_text(json.dumps(told), encoding="utf-8")
