"""Requests as the outermost layer of the application sees them: ids, log lines, statuses."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterator

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse, StreamingResponse
from ray.exceptions import RayActorError

from personavlm.deployments import origins
from personavlm.deployments.chat_metrics import Answered
from personavlm.deployments.events import ChatJob, Done, Event, Failure, Served
from personavlm.deployments.origins import Origin
from personavlm.deployments.requests_seen import GONE, BrokenOffError, RequestLog, SeenRequest, seen
from personavlm.memory_store import UserKey
from personavlm.platform.agent.types import AnswerDelta, StepTrace, ThinkingDelta
from personavlm.platform.config import ServiceConfig

JOB = ChatJob(
    user=UserKey("acme", "ana"),
    client_id="chatcmpl-1",
    origin=Origin("mine"),
    text="my diary",
    images=(),
    attachments=(),
    instructions="",
    now=None,
    allow_past=False,
    remember=True,
    trace=False,
    stream=True,
    deadline=0.0,
)
DONE = Done(
    turn_id="t_1",
    answer="an answer",
    thinking="",
    steps=(StepTrace("retrieve", ""), StepTrace("answer", "", repaired="cut")),
    found=(),
    prompt_tokens=9,
    completion_tokens=4,
    cached_tokens=6,
    omitted_turns=0,
    timings_ms={},
    served=Served("rules", "", "", "r", {}),
)
REFUSAL = JSONResponse("refused", 400)


class Counted:
    """Keeps what would be counted."""

    def __init__(self) -> None:
        self.requests: list[Answered] = []

    def count(self, request: Answered) -> None:
        self.requests.append(request)


class Lines(logging.Handler):
    """Keeps the fields of each line."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: list[dict[str, object]] = []
        self.ids: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.fields.append(getattr(record, "fields", {}))
        self.ids.append(origins.current().request_id)


@pytest.fixture
def lines() -> Iterator[Lines]:
    logger, handler = logging.getLogger("personavlm.deployments.requests_seen"), Lines()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


async def batches(*events: Event) -> AsyncGenerator[list[Event], None]:
    yield []
    for event in events:
        yield [event]


def application() -> FastAPI:
    app = FastAPI()

    @app.get("/v1/users/{user}/memories")
    async def memories(user: str) -> dict[str, str]:
        seen().tenant, seen().user = "acme", UserKey("acme", user)
        return {"id": origins.current().request_id}

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("my diary")

    @app.get("/stream/{end}")
    async def stream(end: str) -> StreamingResponse:
        seen().take(JOB, "rules")
        last: Event = DONE if end == "done" else Failure("no", 502, None, "engine_error")
        events = seen().watch(batches(ThinkingDelta("hm"), AnswerDelta("an"), last), thinking=False)
        return StreamingResponse("x" async for _ in events)

    return app


async def get(
    path: str, counted: Counted, *, service: ServiceConfig | None = None, request_id: str = ""
) -> httpx.Response:
    app = RequestLog(application(), REFUSAL, service or ServiceConfig(), counted)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        return await client.get(path, headers={"X-Request-Id": request_id} if request_id else {})


async def test_a_path_is_logged_without_the_user_it_names(lines: Lines) -> None:
    counted = Counted()
    response = await get("/v1/users/ana/memories?q=diary", counted, request_id="mine-1")
    assert response.json() == {"id": "mine-1"} and lines.ids == ["mine-1"]
    [fields] = lines.fields
    assert (fields["route"], fields["status"], fields["tenant"]) == ("/v1/users/{user}/memories", 200, "acme")
    assert "ana" not in str(fields).replace("{user}", "") and "diary" not in str(fields)
    assert counted.requests[0].status == 200


async def test_a_request_without_an_id_gets_one(lines: Lines) -> None:
    found = (await get("/v1/users/ana/memories", Counted())).json()["id"]
    assert found.startswith("req-") and lines.ids == [found]


@pytest.mark.parametrize("bad", ["two words", "a/b", "x" * 129, "tab\there"])
async def test_an_id_that_breaks_the_rules_is_refused(bad: str, lines: Lines) -> None:
    response = await get("/v1/users/ana/memories", Counted(), request_id=bad)
    assert response.status_code == 400
    assert response.json() == "refused"
    assert lines.fields[0]["status"] == 400 and bad not in lines.ids


async def test_an_unexpected_error_and_an_unknown_path_are_seen_too(lines: Lines) -> None:
    counted = Counted()
    await get("/broken", counted)
    await get("/my-diary", counted)
    assert [request.status for request in counted.requests] == [500, 404]
    assert [fields["route"] for fields in lines.fields] == ["/broken", ""]
    assert "diary" not in str(lines.fields)


async def test_a_reply_is_told_in_numbers(lines: Lines) -> None:
    counted = Counted()
    await get("/stream/done", counted)
    [fields], [request] = lines.fields, counted.requests
    assert request.first_token_s is not None and request.done is DONE
    told = {"prompt_tokens": 9, "cached_tokens": 6, "completion_tokens": 4, "retrievals": 1, "repaired": True}
    assert told.items() <= fields.items() and fields["model"] == "rules"
    assert not {"text", "answer"} & fields.keys()


async def test_texts_are_told_where_that_is_wanted(lines: Lines) -> None:
    await get("/stream/done", Counted(), service=ServiceConfig(log_text=True, log_user_ids=True))
    [fields] = lines.fields
    assert (fields["text"], fields["answer"], fields["user"]) == ("my diary", "an answer", "ana")


async def test_a_stream_that_failed_after_its_200_counts_as_failed(lines: Lines) -> None:
    counted = Counted()
    assert (await get("/stream/failure", counted)).status_code == 200
    assert counted.requests[0].status == 502 and lines.fields[0]["code"] == "engine_error"


async def test_a_client_that_goes_away_is_not_counted_as_answered() -> None:
    counted = Counted()
    scope = {"type": "http", "method": "GET", "path": "/stream/done", "headers": [], "query_string": b""}

    async def leave() -> dict[str, object]:
        return {"type": "http.disconnect"}

    async def nowhere(message: object) -> None:
        raise OSError("nobody is there")

    with pytest.raises(BrokenOffError):
        await RequestLog(application(), REFUSAL, ServiceConfig(), counted)(scope, leave, nowhere)
    assert [request.status for request in counted.requests] == [GONE]


@pytest.mark.parametrize(("thinking", "seen_at"), [(False, 2), (True, 1)])
async def test_the_first_token_is_the_first_that_the_client_sees(thinking: bool, seen_at: int) -> None:
    request, at = SeenRequest("mine", "POST"), 0
    events = request.watch(batches(ThinkingDelta("hm"), AnswerDelta("an"), DONE), thinking=thinking)
    async for _ in events:
        if request.first_token_s is not None:
            break
        at += 1
    assert at == seen_at


async def test_a_replica_that_is_lost_makes_a_failure() -> None:
    async def lost() -> AsyncGenerator[list[Event], None]:
        yield [AnswerDelta("an")]
        raise RayActorError

    request = SeenRequest("mine", "POST")
    with pytest.raises(RayActorError):
        _ = [batch async for batch in request.watch(lost(), thinking=False)]
    assert request.failure and request.failure.code == "reply_broke_off"
