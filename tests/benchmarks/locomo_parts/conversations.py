"""LoCoMo's conversations in a real store, and what the store's ranking says of each question.

Every message is one text. The file's evidence names messages, so what counts is the message, though the
store keeps two of them as one turn.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from personavlm.memory_store import Add, MemoryKind, MemoryStore, SearchRequest, TurnDraft, UserKey
from personavlm.memory_store.encoder import TextEncoder
from personavlm.memory_store.retrieval.diversity import Content
from personavlm.memory_store.retrieval.index import SearchIndex
from personavlm.memory_store.retrieval.retriever import Retriever
from personavlm.platform.encoders.image_descriptor import ImageDescriptor
from personavlm.platform.histories.format import History
from personavlm.platform.histories.locomo import CATEGORIES, evidence_ids, load_locomo

TENANT = "locomo"


@dataclass(frozen=True, slots=True)
class Asked:
    """One question with the z-scores of every signal for every message of its conversation.

    ``known`` ``(signals, n)`` knows who talks, ``nameless`` does not; ``evidence`` are message positions,
    ``content`` is what the messages say.
    """

    conversation: str
    category: str
    question: str
    evidence: NDArray[np.int64]
    known: NDArray[np.float32]
    nameless: NDArray[np.float32]
    content: Content


@dataclass(frozen=True, slots=True)
class Conversation:
    """A history with the questions of its file: text, category, ids of the evidence messages."""

    history: History
    questions: tuple[tuple[str, str, frozenset[str]], ...]

    @property
    def user(self) -> UserKey:
        """Who has this history and the names of those who talk."""
        return UserKey(TENANT, self.history.user)

    @property
    def nameless(self) -> UserKey:
        """Who has this history and no names."""
        return UserKey(TENANT, f"{self.history.user} nameless")


def load(path: Path) -> list[Conversation]:
    """The file's conversations. Raises `HistoryError`."""
    samples = json.loads(path.read_text(encoding="utf-8"))
    return [
        Conversation(history, tuple(_questions(sample["qa"])))
        for history, sample in zip(load_locomo(path), samples, strict=True)
    ]


def _questions(records: list[dict[str, object]]) -> Iterator[tuple[str, str, frozenset[str]]]:
    for record in records:
        entries = record.get("evidence", [])
        assert isinstance(entries, list) and isinstance(record["category"], int)
        ids = frozenset(id for entry in entries for id in evidence_ids(str(entry)))
        yield str(record["question"]), CATEGORIES[record["category"]], ids


def open_store(folder: Path, encoder: TextEncoder) -> MemoryStore:
    """The benchmark's store."""
    return MemoryStore.open(folder, text_encoder=encoder, image_encoder=ImageDescriptor())


def fill(store: MemoryStore, conversation: Conversation) -> None:
    """Store the turns of a conversation twice, once with the names of those who talk, and encode them."""
    history = conversation.history
    drafts = [
        TurnDraft(turn.user_text, turn.assistant_text, turn.event_time, client_id=turn.id, allow_past=True)
        for turn in history.turns
    ]
    for user in (conversation.user, conversation.nameless):
        store.append_turns(user, drafts)
    for key, name in history.core.items():
        add = Add(name, history.turns[0].event_time, (), key=key)
        store.apply(conversation.user, MemoryKind.CORE, f"names: {key}", [add])
    for user in (conversation.user, conversation.nameless):
        store.index(user)


def ask(store: MemoryStore, conversation: Conversation) -> Iterator[Asked]:
    """Every question that has evidence among the messages."""
    retriever = retriever_of(store)
    message_of = _message_of_text(store, conversation.user)
    for question, category, ids in conversation.questions:
        request = SearchRequest(question)
        known = retriever.turn_signals(conversation.user, request)
        evidence = [place for place, text in enumerate(known.texts) if message_of[text] in ids]
        if evidence:
            nameless = retriever.turn_signals(conversation.nameless, request)
            name, places = conversation.history.user, np.array(evidence, np.int64)
            yield Asked(name, category, question, places, known.matrix, nameless.matrix, known.content)


def _message_of_text(store: MemoryStore, user: UserKey) -> dict[tuple[str, str], str]:
    """The message that each text of each turn is: a turn of two has both ids in its own, joined by +."""
    messages: dict[tuple[str, str], str] = {}
    for turn in store.turns(user):
        fields = [field for field in ("user", "assistant") if getattr(turn, f"{field}_text")]
        ids = turn.client_id.split("+")
        messages |= {(turn.id, field): id for field, id in zip(fields, ids, strict=True)}
    return messages


def retriever_of(store: MemoryStore) -> Retriever:
    """The store's own: its users have no need of a ranking's parts, a measurement has."""
    return store._retriever


def index_of(store: MemoryStore, user: UserKey) -> SearchIndex:
    """What memory holds of one user for searches."""
    store.search(user, SearchRequest("memory"))
    with store._cache.hold(user) as state:
        return state.index
