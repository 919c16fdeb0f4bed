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


MOVE = [
    ("2026-01-10T09:00:00Z", "We looked at a flat in Linden Street, it has a balcony."),
    ("2026-01-20T09:00:00Z", "I cooked lentils with lemon."),
    ("2026-02-10T09:00:00Z", "The flat in Linden Street is ours, balcony and all!"),
]


def import_a_move(client: httpx.Client, user: str) -> None:
    """Three sessions of one turn, the first and the last about one flat."""
    body = [
        {"client_id": time, "event_time": time, "user_text": text, "assistant_text": "I see."}
        for time, text in MOVE
    ]
    client.post("/v1/turns", json={"user": user, "turns": body}).raise_for_status()
    client.post(f"/v1/users/{user}/sessions/close", json={"now": "2026-02-11T09:00:00Z"}).raise_for_status()


def test_episodes_of_one_thread_are_shown_together(service: Service, user: str) -> None:
    with service.http() as client, service.http(service.foreign_key) as foreign:
        import_a_move(client, user)
        first, lentils, second = (m["id"] for m in memories(client, user, kind="episodic"))
        path = f"/v1/users/{user}/episodes/{first}/thread"
        older, newer = client.get(path).json()["data"]
        assert [older["episode"]["id"], newer["episode"]["id"]] == [first, second]
        assert older["links"] == []
        assert [(link["episode"], link["related"]) for link in newer["links"]] == [(second, first)]
        assert "Linden" in newer["links"][0]["shared"]
        then = client.get(path, params={"as_of": "2026-02-01T00:00:00Z"}).json()["data"]
        assert [entry["episode"]["id"] for entry in then] == [first]
        alone = client.get(f"/v1/users/{user}/episodes/{lentils}/thread").json()["data"]
        assert [entry["episode"]["id"] for entry in alone] == [lentils]
        assert foreign.get(path).status_code == 404
        assert client.get(f"/v1/users/{user}/episodes/nothing/thread").status_code == 404
        schema = httpx.get(f"{service.url}/openapi.json").json()
        thread = schema["paths"]["/v1/users/{user}/episodes/{episode_id}/thread"]["get"]
        shape = thread["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.validate(client.get(path).json(), {**shape, "components": schema["components"]})


def test_a_search_says_which_episode_came_by_a_link(service: Service, user: str) -> None:
    with service.http() as client:
        import_a_move(client, user)
        both = {hit["item"]["id"]: hit for hit in search_episodes(client, user, "lentils lemon balcony")}
        linked = [hit["link"] for hit in both.values() if "link" in hit]
        assert len(both) == 3 and len(linked) == 1
        assert {linked[0]["episode"], linked[0]["related"]} <= set(both)
        assert "Linden" in linked[0]["shared"]


def search_episodes(client: httpx.Client, user: str, query: str) -> list[dict]:
    return client.post(f"/v1/users/{user}/memories/search", json={"query": query}).json()["episodic"]


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
                content = operations["get"]["responses"]["200"]["content"]
                assert response.headers["content-type"].partition(";")[0] in content
                if json := content.get("application/json"):
                    schema = {**json["schema"], "components": document["components"]}
                    jsonschema.validate(response.json(), schema)


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
