"""The log: JSON a line, and nothing in it that a user or a model wrote."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.exceptions import RayTaskError

from personavlm.deployments.logs import JsonLines, shown_user
from personavlm.deployments.origins import Origin, working_for
from personavlm.memory_store import BusyError, InvalidError, UserKey
from personavlm.platform.config import ServiceConfig
from personavlm.platform.errors import EngineTimeout

SECRET = "my PIN is 4711"


def line(
    message: str, *args: object, error: BaseException | None = None, texts: bool = False, **extra: object
) -> dict:
    record = logging.getLogger("personavlm.test").makeRecord(
        "personavlm.test",
        logging.WARNING,
        "file.py",
        1,
        message,
        args,
        (type(error), error, error.__traceback__) if error else None,
        extra=extra,
    )
    formatted = JsonLines("policy", texts=texts).format(record)
    assert "\n" not in formatted
    return json.loads(formatted)


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    try:
        raise error from cause
    except type(error) as caught:
        return caught


def test_a_line_says_when_where_and_for_whom() -> None:
    with working_for(Origin("req-1", "00-" + "a" * 32 + "-" + "b" * 16 + "-01")):
        found = line("%d users", 3, fields={"tenant": "acme"})
    assert found.pop("time").endswith("+00:00")
    assert found == {
        "level": "warning",
        "part": "policy",
        "logger": "personavlm.test",
        "message": "3 users",
        "request_id": "req-1",
        "trace_id": "a" * 32,
        "tenant": "acme",
    }


def test_outside_of_requests_no_request_is_named() -> None:
    assert not {"request_id", "trace_id"} & line("hello").keys()


@given(st.text(min_size=12))
def test_an_error_that_may_quote_is_told_by_its_kind(text: str) -> None:
    error = raised(InvalidError(f"the key {text!r} is taken"), ValueError(text))
    found = line("dropped: %s", error, error=error)
    assert found["message"] == "dropped: InvalidError"
    told = found["error"].splitlines()
    assert [entry for entry in told if not entry.startswith("  ")] == ["InvalidError", "ValueError"]
    assert all(entry.startswith(f"  {__file__}:") for entry in told if entry.startswith("  "))


def test_an_error_of_another_process_is_told_by_its_cause() -> None:
    remote = RayTaskError("append_turn", f"Traceback: {SECRET}", InvalidError(SECRET), pid=1, ip="127.0.0.1")
    wrapped = raised(remote.as_instanceof_cause())
    assert SECRET in str(wrapped), "Ray does not quote any more: this test shows nothing"
    found = line("lost: %s", wrapped, error=wrapped)
    assert SECRET not in json.dumps(found) and found["message"] == "lost: InvalidError"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (EngineTimeout("took 3 s"), "EngineTimeout: took 3 s"),
        (BusyError("the shard is full"), "BusyError: the shard is full"),
        (OSError(28, "No space left on device", "/data/my diary"), "OSError: No space left on device"),
    ],
)
def test_errors_that_quote_nothing_are_told_in_their_words(error: Exception, words: str) -> None:
    assert line("failed: %s", error)["message"] == f"failed: {words}"


def test_where_it_is_wanted_everything_is_told() -> None:
    found = line("dropped: %s", raised(InvalidError(SECRET)), error=raised(ValueError(SECRET)), texts=True)
    assert found["message"] == f"dropped: {SECRET}" and SECRET in found["error"]


def test_errors_that_cause_each_other_come_to_an_end() -> None:
    first, second = ValueError("a"), KeyError("b")
    first.__cause__, second.__cause__ = second, first
    assert line("round", error=first)["error"].splitlines() == ["ValueError", "KeyError"]


def test_users_are_named_by_a_hash_unless_configured() -> None:
    ana, other = UserKey("acme", "ana"), UserKey("globex", "ana")
    hashed = shown_user(ana, ServiceConfig())
    assert len(hashed) == 16 and "ana" not in hashed
    assert hashed == shown_user(ana, ServiceConfig()) != shown_user(other, ServiceConfig())
    assert shown_user(ana, ServiceConfig(log_user_ids=True)) == "ana"


def test_what_asyncio_tells_of_a_task_is_told_without_its_words() -> None:
    text = f"Task was lost\nfuture: {SECRET}"
    record = logging.LogRecord("asyncio", logging.ERROR, "f.py", 1, text, (), None)
    assert json.loads(JsonLines("memory-0", texts=False).format(record))["message"] == "Task was lost"
