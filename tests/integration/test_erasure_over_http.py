"""Forgetting over HTTP: a receipt says what went, and nothing of it is found afterwards."""

from __future__ import annotations

from tests.integration.conftest import Service
from tests.integration.test_memories import import_all, memories


def test_a_user_is_erased(service: Service, user: str) -> None:
    with service.http() as client:
        import_all(client, user)
        receipt = client.delete(f"/v1/users/{user}")
        assert receipt.status_code == 200, receipt.text
        assert receipt.json()["rows"]["turns"] == 4
        assert memories(client, user, include_ended="true") == []
        assert client.get(f"/v1/users/{user}/timeline").json()["data"] == []
        profile = client.get(f"/v1/users/{user}/profile").json()
        again = import_all(client, user)
    assert profile["version"] == 0
    assert again["stored"] == 4  # the same client ids are new again


def test_a_range_takes_along_what_was_learned_from_it(service: Service, user: str) -> None:
    with service.http() as client:
        import_all(client, user)
        body = {"start_time": "2026-03-20T00:00:00+01:00", "end_time": "2026-03-21T00:00:00+01:00"}
        receipt = client.post(f"/v1/users/{user}/erase", json=body)
        assert receipt.status_code == 200, receipt.text
        left = client.get(f"/v1/users/{user}/timeline", params={"limit": 1000}).json()["data"]
        found = client.post(f"/v1/users/{user}/memories/search", json={"keywords": "matcha"}).json()
    assert receipt.json()["rows"]["turns"] == 1
    assert not any("matcha" in entry["text"] for entry in left)
    assert sum(entry["kind"] == "turn" for entry in left) == 3
    assert "matcha" not in str(found)


def test_one_memory_is_erased_with_its_history(service: Service, user: str) -> None:
    with service.http() as client:
        import_all(client, user)
        memory = next(m for m in memories(client, user, kind="semantic") if "Jonas" in m["text"])
        path = f"/v1/users/{user}/memories/{memory['id']}"
        assert client.post(f"{path}/erase").json()["rows"]["semantic"] == 1
        assert client.get(f"{path}/history").status_code == 404
        assert client.post(f"{path}/erase").status_code == 404


def test_a_range_without_bounds_is_refused(service: Service, user: str) -> None:
    with service.http() as client:
        reply = client.post(f"/v1/users/{user}/erase", json={})
    assert reply.status_code == 400
    assert "DELETE the user" in reply.json()["error"]["message"]


def test_a_user_goes_out_as_an_archive_and_comes_back_as_another(service: Service, user: str) -> None:
    twin = f"{user}-twin"
    with service.http() as client:
        import_all(client, user)
        archive = client.get(f"/v1/users/{user}/export")
        assert archive.headers["content-type"] == "application/zip"
        headers = {"Content-Type": "application/zip"}
        taken = client.post(f"/v1/users/{twin}/import", content=archive.content, headers=headers)
        assert taken.status_code == 200, taken.text
        assert taken.json()["rows"]["turns"] == 4
        for what in ("memories?include_ended=true", "timeline?limit=1000", "profile"):
            mine, his = (client.get(f"/v1/users/{name}/{what}").json() for name in (user, twin))
            assert mine == his
        again = client.post(f"/v1/users/{twin}/import", content=archive.content, headers=headers)
        torn = client.post(f"/v1/users/{user}-x/import", content=archive.content[:-40], headers=headers)
    assert again.status_code == 400 and "replace" in again.json()["error"]["message"]
    assert torn.status_code == 400 and torn.json()["error"]["code"] == "invalid_value"
