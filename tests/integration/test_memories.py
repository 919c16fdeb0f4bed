"""What users see of their memory over HTTP: lists, search, history, deletion, personality."""

from __future__ import annotations

import httpx
import jsonschema
import pytest

from tests.integration.conftest import Service

TURNS = [
    ("a1", "2026-03-02T08:00:00+01:00", "My favourite drink is cappuccino.", "Noted, cappuccino it is."),
    ("a2", "2026-03-02T08:05:00+01:00", "I climb every Thursday with my friend Jonas.", "Sounds fun."),
    ("b1", "2026-03-20T08:00:00+01:00", "I switched from cappuccino to matcha.", "Matcha from now on."),
    ("c1", "2026-04-02T08:00:00+02:00", "The race went well last Sunday.", "Congratulations!"),
]


def turns(*ids: str) -> list[dict[str, str]]:
    names = ("client_id", "event_time", "user_text", "assistant_text")
    return [dict(zip(names, turn, strict=True)) for turn in TURNS if not ids or turn[0] in ids]


def import_all(client: httpx.Client, user: str) -> dict:
    reply = client.post("/v1/turns", json={"user": user, "turns": turns()})
    assert reply.status_code == 200, reply.text
    closed = client.post(f"/v1/users/{user}/sessions/close", json={"now": "2026-04-03T08:00:00+02:00"})
    assert closed.status_code == 200, closed.text
    assert closed.json()["pending_turns"] == 0
    return reply.json()


def memories(client: httpx.Client, user: str, **query: str) -> list[dict]:
    return client.get(f"/v1/users/{user}/memories", params=query).json()["data"]


def test_an_import_is_stored_once(service: Service, user: str) -> None:
    with service.http() as client:
        first = import_all(client, user)
        again = client.post("/v1/turns", json={"user": user, "turns": turns()}).json()
        timeline = client.get(f"/v1/users/{user}/timeline", params={"limit": 1000}).json()["data"]
    assert (first["stored"], first["already_stored"]) == (4, 0)
    assert (again["stored"], again["already_stored"]) == (0, 4)
    assert again["turn_ids"] == first["turn_ids"]
    assert [e["id"] for e in timeline if e["kind"] == "turn"] == first["turn_ids"][::-1]


def test_an_import_out_of_order_stores_nothing(service: Service, user: str) -> None:
    with service.http() as client:
        body = {"user": user, "turns": [*turns("b1"), *turns("a1")]}
        refused = client.post("/v1/turns", json=body)
        assert refused.status_code == 409, refused.text
        assert refused.json()["error"]["code"] == "event_time_out_of_order"
        assert client.get(f"/v1/users/{user}/timeline").json()["data"] == []
        assert client.post("/v1/turns", json={**body, "allow_past": True}).json()["stored"] == 2


def test_a_changed_preference_keeps_its_history(service: Service, user: str) -> None:
    with service.http() as client:
        import_all(client, user)
        drinks = [m for m in memories(client, user, kind="semantic", include_ended="true")
                  if "cappuccino" in m["text"].lower() or "matcha" in m["text"].lower()]  # fmt: skip
        old, new = drinks[0], drinks[-1]
        assert old["valid_to"] == new["event_time"] and old["superseded_by"] == new["id"]
        assert new["valid_to"] is None
        assert old["id"] not in [m["id"] for m in memories(client, user, kind="semantic")]
        versions = client.get(f"/v1/users/{user}/memories/{old['id']}/history").json()["data"]
        assert [v["valid_to"] is None for v in versions] == [True, False]
        before = memories(client, user, kind="semantic", as_of="2026-03-10T00:00:00+01:00")
        assert old["id"] in [m["id"] for m in before] and new["id"] not in [m["id"] for m in before]


def test_search_respects_its_window(service: Service, user: str) -> None:
    with service.http() as client:
        import_all(client, user)
        found = client.post(
            f"/v1/users/{user}/memories/search",
            json={
                "query": "favourite drink",
                "start_time": "2026-03-01T00:00:00+01:00",
                "end_time": "2026-03-05T00:00:00+01:00",
            },
        ).json()
        inside = [hit["item"]["text"] for hit in found["semantic"] if not hit["outside_window"]]
        assert any("cappuccino" in text for text in inside)
        assert not any("matcha" in text for text in inside)
        wrong = {"query": "x", "start_time": "2026-03-05T00:00:00Z", "end_time": "2026-03-01T00:00:00Z"}
        refused = client.post(f"/v1/users/{user}/memories/search", json=wrong)
    assert refused.status_code == 400 and refused.json()["error"]["param"] == "start_time"


def test_a_deleted_memory_is_found_no_more(service: Service, user: str) -> None:
    with service.http() as client:
        import_all(client, user)
        memory = memories(client, user, kind="semantic")[0]
        path = f"/v1/users/{user}/memories/{memory['id']}"
        assert client.get(path).json()["text"] == memory["text"]
        assert client.delete(path).json() == {"id": memory["id"], "deleted": True}
        assert client.get(path).status_code == 404
        assert memory["id"] not in [m["id"] for m in memories(client, user)]
        found = client.post(f"/v1/users/{user}/memories/search", json={"query": memory["text"]}).json()
        assert memory["id"] not in [hit["item"]["id"] for hit in found["semantic"]]


def test_foreign_ids_are_not_found(service: Service, user: str) -> None:
    with service.http() as client, service.http(service.foreign_key) as foreign:
        import_all(client, user)
        memory = memories(client, user)[0]
        for method, suffix in (("GET", ""), ("GET", "/history"), ("DELETE", "")):
            path = f"/v1/users/{user}/memories/{memory['id']}{suffix}"
            assert foreign.request(method, path).status_code == 404
        assert memories(foreign, user) == []
        assert foreign.get(f"/v1/users/{user}/timeline").json()["data"] == []
        assert client.get(f"/v1/users/{user}/memories/{memory['id']}").status_code == 200


def test_personality_is_viewed_reset_and_refused(service: Service, user: str) -> None:
    with service.http() as client:
        import_all(client, user)
        client.put(f"/v1/users/{user}/profile/consent", json={"consent": False})
        assert client.get(f"/v1/users/{user}/profile").json()["consent"] is False
        reset = client.post(f"/v1/users/{user}/profile/reset").json()
        assert set(reset["traits"].values()) == {3.0}
        assert [version["cause"] for version in reset["history"]][-2:] == ["consent", "reset"]


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("memories?kind=dreams", "kind"),
        ("memories?as_of=soon", "as_of"),
        ("timeline?limit=0", "limit"),
        ("timeline?start=2026-03-05T00:00:00Z&end=2026-03-01T00:00:00Z", "start"),
    ],
)
def test_bad_queries_name_their_field(service: Service, user: str, path: str, param: str) -> None:
    with service.http() as client:
        response = client.get(f"/v1/users/{user}/{path}")
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


def test_the_openapi_document_is_true(service: Service, user: str) -> None:
    document = httpx.get(f"{service.url}/openapi.json").json()
    assert {"/v1/chat/completions", "/v1/turns", "/v1/models", "/healthz", "/readyz"} <= set(
        document["paths"]
    )
    with service.http() as client:
        import_all(client, user)
        for path, operations in document["paths"].items():
            assert not any("422" in operation["responses"] for operation in operations.values())
            if "get" in operations and "_id}" not in path and "sha256" not in path:
                response = client.get(path.format(user=user))
                schema = operations["get"]["responses"]["200"]["content"]["application/json"]["schema"]
                jsonschema.validate(response.json(), {**schema, "components": document["components"]})


def test_core_facts_are_set_by_key(service: Service, user: str) -> None:
    path = f"/v1/users/{user}/core"
    with service.http() as client, service.http(service.plain_key) as plain:
        first = {"facts": {"name": "Ana", "home": "Porto"}, "event_time": "2026-03-02T08:00:00Z"}
        assert client.put(path, json=first).status_code == 200
        moved = {"facts": {"home": "Lisbon"}, "event_time": "2026-04-02T08:00:00Z"}
        for _ in range(2):
            facts = {m["key"]: (m["text"], m["version"]) for m in client.put(path, json=moved).json()["data"]}
            assert facts == {"name": ("Ana", 1), "home": ("Lisbon", 2)}
        assert plain.put(path, json=moved).status_code == 403
        assert client.put(path, json={**moved, "facts": {}}).json()["error"]["param"] == "facts"
