"""What tests of the update stage share: an engine that answers by task, a short history, a real store."""

import json
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from personavlm.memory_store import MemoryStore
from personavlm.memory_store.records import TRAITS, Turn, TurnDraft, UserKey
from personavlm.platform.engines.base import Chunk, Conversation, Engine, Sampling
from personavlm.platform.errors import EngineUnavailable
from personavlm.platform.prompts.render import read_rows, read_task
from personavlm.platform.updates import UpdateSettings, UpdateStage
from tests.unit.memory_store.encoders import ByteEncoder, WordEncoder

USER = UserKey("tenant", "mia")
START = datetime(2026, 5, 17, 9, tzinfo=UTC)
WALL = datetime(2026, 6, 30, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOTHING = '{"operations": []}'

Rows = dict[str, list[dict[str, Any]]]
Responder = Callable[[Rows], str]


class TaskEngine:
    """Answers each update task by a function of its data; fails at one call where told to."""

    model = "tasks"
    version = ""
    description = "Answers by task."

    def __init__(self, responders: dict[str, Responder], fail_at: int | None = None) -> None:
        self.responders, self.fail_at, self.calls = responders, fail_at, 0
        self.tasks: list[str] = []
        self.conversations: list[Conversation] = []

    async def stream(self, conversation: Conversation, sampling: Sampling) -> AsyncGenerator[Chunk, None]:
        self.calls += 1
        if self.calls == self.fail_at:
            raise EngineUnavailable("connection refused")
        prompt = conversation.segments[0].text
        self.tasks.append(read_task(prompt))
        self.conversations.append(conversation)
        responder = self.responders.get(self.tasks[-1])
        yield Chunk(responder(read_rows(prompt)) if responder else NOTHING, "stop")

    async def check_health(self) -> None:
        """Healthy."""

    async def close(self) -> None:
        return None


def score(rows: Rows) -> str:
    """Calm says so; a goodbye sounds calm only to who knows the user's name."""
    said = rows["turn"][0]["user"]
    calm = "calm" in said or ("Goodbye" in said and rows["core"])
    return json.dumps(dict.fromkeys(TRAITS, 3) | ({"neuroticism": 1} if calm else {}))


def extract(rows: Rows) -> str:
    """Remember what starts with "I"; what is about tea supersedes what was about tea."""
    turn = rows["turn"][0]
    if not turn["user"].startswith("I "):
        return NOTHING
    old = [row["id"] for row in rows["related"] if "tea" in row["text"] and "tea" in turn["user"]]
    add = {"op": "add", "text": turn["user"], "category": "preference", "evidence": [turn["id"]]}
    return json.dumps({"operations": [add | {"supersedes": old[-1] if old else None}]})


def summarise(rows: Rows) -> str:
    """One topic from the first half of the turns; the others are left out."""
    ids = [row["id"] for row in rows["turns"]]
    text = f"Session of {len(ids)} turns from {rows['turns'][0]['time']}."
    return json.dumps({"operations": [{"op": "add", "text": text, "evidence": ids[: len(ids) // 2 + 1]}]})


def remember_name(rows: Rows) -> str:
    held = rows["core"]
    named = [row for row in rows["turns"] if "my name is" in row["user"]]
    if not named:
        return json.dumps(
            {"operations": [{"op": "delete", "id": row["id"], "reason": "test"} for row in held]}
        )
    add = {"op": "add", "key": "name", "text": named[-1]["user"].split()[-1], "evidence": [named[-1]["id"]]}
    return json.dumps({"operations": [add]})


def list_habits(rows: Rows) -> str:
    habits = [row for row in rows["turns"] if "every" in row["user"]]
    return json.dumps(
        {
            "operations": [
                {"op": "add", "key": row["user"][:20], "text": row["user"], "evidence": [row["id"]]}
                for row in habits
            ]
        }
    )


RESPONDERS: dict[str, Responder] = {
    "personality": score,
    "semantic": extract,
    "episodic": summarise,
    "procedural": list_habits,
    "core": remember_name,
}

CONVERSATION: list[tuple[timedelta, str]] = [
    (0 * HOUR, "Hello, my name is Mia"),
    (0.1 * HOUR, "I drink black tea every morning"),
    (0.2 * HOUR, "I am calm today"),
    (5 * HOUR, "How are you?"),
    (5.1 * HOUR, "I gave up black tea for green tea, it keeps me calm"),
    (30 * HOUR, "Good morning"),
    (30.5 * HOUR, "I run every Thursday"),
]

# The last turn of its first session leaves no trace if it is looked at before that session is consolidated.
WITH_GOODBYE = [*CONVERSATION[:3], (0.25 * HOUR, "Goodbye"), *CONVERSATION[3:]]


_open: dict[Path, MemoryStore] = {}
AnyStore = TypeVar("AnyStore", bound=MemoryStore)


def open_store(folder: Path) -> MemoryStore:
    """A store whose clock stands still at ``WALL``; one that is open in this folder is closed first."""
    return open_anew(MemoryStore, folder)


def open_anew(type_: type[AnyStore], folder: Path) -> AnyStore:
    close_stores(folder)
    store = type_.open(folder, text_encoder=WordEncoder(), image_encoder=ByteEncoder(), clock=lambda: WALL)
    _open[folder] = store
    return store


def close_stores(*folders: Path) -> None:
    """Close what was opened in these folders, or in all."""
    for folder in folders or tuple(_open):
        if folder in _open:
            _open.pop(folder).close()


def say(store: MemoryStore, turns: list[tuple[timedelta, str]], *, past: bool = False) -> list[Turn]:
    return [
        store.append_turn(USER, TurnDraft(text, "I see.", START + after, allow_past=past))
        for after, text in turns
    ]


def stage_of(
    store: MemoryStore,
    engine: Engine,
    now: datetime = WALL,
    settings: UpdateSettings | None = None,
) -> UpdateStage:
    return UpdateStage(store, engine, settings=settings, clock=lambda: now)
