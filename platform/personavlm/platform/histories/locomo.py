"""Loader of LoCoMo: a list of conversations between two people, with questions and their evidence.

The first named speaker (``speaker_a``) becomes the user, the second the assistant. A message of the user
and the reply right after it make one turn; a message without its counterpart makes a turn with one empty
text. The times name no zone and are read as UTC; the turns of a session stand one minute apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from personavlm.platform.histories.format import History, HistoryError, build_history, read_json

CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
DATE_FORMAT = "%I:%M %p on %d %B, %Y"
SESSION = re.compile(r"session_(\d+)")
# Some evidence strings hold several ids ("D8:6; D9:17") or a stray colon ("D:11:26").
EVIDENCE_ID = re.compile(r"D:?\s*(\d+)\s*:\s*(\d+)")


def load_locomo(path: Path, question_file: Path | None = None) -> list[History]:
    """Read every conversation of the file. Questions stand beside it, so ``question_file`` is refused."""
    if question_file is not None:
        raise HistoryError(question_file, "", "is not used", "LoCoMo keeps its questions in the same file.")
    samples = read_json(path)
    if not isinstance(samples, list):
        raise HistoryError(path, "", "is not a JSON list", "Give LoCoMo's list of conversations.")
    return [_load_sample(path, sample, index) for index, sample in enumerate(samples)]


def evidence_ids(evidence: str) -> tuple[str, ...]:
    """The message ids in one evidence string, such as "D8:6; D9:17"; empty where there is none."""
    return tuple(f"D{int(session)}:{int(number)}" for session, number in EVIDENCE_ID.findall(evidence))


def _load_sample(path: Path, sample: object, index: int) -> History:
    sample = sample if isinstance(sample, dict) else {}
    conversation = sample.get("conversation")
    if not isinstance(conversation, dict) or not {"speaker_a", "speaker_b"} <= set(conversation):
        remedy = "Each item needs conversation with speaker_a, speaker_b and its sessions."
        raise HistoryError(path, f"{index}.conversation", "is missing or names no speakers", remedy)
    turns = list(_turns(path, conversation, f"{index}.conversation"))
    if not turns:
        raise HistoryError(path, f"{index}.conversation", "has no messages", "Give session_1 and so on.")
    turn_of_message = {message: turn["id"] for turn in turns for message in turn["id"].split("+")}
    asked_at = max(turn["event_time"] for turn in turns) + timedelta(days=1)
    records = sample.get("qa", [])
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise HistoryError(
            path, f"{index}.qa", "is no list of questions", "Give question, evidence, category."
        )
    questions, unmapped = _questions(records, turn_of_message, asked_at)
    fields = {
        "user": str(sample.get("sample_id", f"locomo-{index}")),
        "core": {"name": conversation["speaker_a"], "assistant name": conversation["speaker_b"]},
        "turns": turns,
        "questions": questions,
        "unmapped_evidence": unmapped,
    }
    return build_history(path, fields, prefix=str(index))


def _turns(path: Path, conversation: dict[str, Any], field: str) -> Iterator[dict[str, Any]]:
    numbers = sorted(int(match[1]) for name in conversation if (match := SESSION.fullmatch(name)))
    for number in numbers:
        name = f"session_{number}"
        start = _parse_date(path, conversation.get(f"{name}_date_time"), f"{field}.{name}_date_time")
        try:
            pairs = list(_pairs(conversation[name], conversation["speaker_a"]))
        except (KeyError, TypeError) as error:
            remedy = "Each message needs speaker, dia_id and text."
            raise HistoryError(
                path, f"{field}.{name}", f"a message is incomplete ({error})", remedy
            ) from error
        for minute, (ids, user_text, assistant_text) in enumerate(pairs):
            yield {
                "id": "+".join(ids),
                "event_time": start + timedelta(minutes=minute),
                "user_text": user_text,
                "assistant_text": assistant_text,
            }


def _pairs(messages: list[dict[str, Any]], user: str) -> Iterator[tuple[list[str], str, str]]:
    """(message ids, user text, assistant text) of each turn, in order."""
    waiting: tuple[str, str] | None = None
    for message in messages:
        id, text, is_user = message["dia_id"], _text(message), message["speaker"] == user
        if is_user:
            if waiting:
                yield [waiting[0]], waiting[1], ""
            waiting = (id, text)
        elif waiting:
            yield [waiting[0], id], waiting[1], text
            waiting = None
        else:
            yield [id], "", text
    if waiting:
        yield [waiting[0]], waiting[1], ""


def _text(message: dict[str, Any]) -> str:
    """The message; of its photo there is a caption in words only."""
    caption = message.get("blip_caption")
    return f"{message['text']} (shares a photo: {caption})" if caption else str(message["text"])


def _questions(
    records: list[dict[str, Any]], turn_of_message: dict[str, str], asked_at: datetime
) -> tuple[list[dict[str, Any]], list[str]]:
    """The questions, and what their evidence lists name that is no message of the conversation."""
    questions: list[dict[str, Any]] = []
    unmapped: list[str] = []
    for number, record in enumerate(records, start=1):
        evidence: dict[str, None] = {}
        for entry in record.get("evidence", []):
            ids = evidence_ids(str(entry))
            evidence.update({turn_of_message[id]: None for id in ids if id in turn_of_message})
            unmapped += [f"q{number}: {id}" for id in ids or (str(entry),) if id not in turn_of_message]
        questions.append(
            {
                "id": f"q{number}",
                "task": CATEGORIES.get(record.get("category", 0), "other"),
                "question": record.get("question", ""),
                "event_time": asked_at,
                "expected_evidence": list(evidence),
                "answer": str(record.get("answer", "")),
            }
        )
    return questions, unmapped


def _parse_date(path: Path, text: object, field: str) -> datetime:
    try:
        return datetime.strptime(str(text), DATE_FORMAT).replace(tzinfo=UTC)
    except ValueError as error:
        remedy = 'Write it as "1:56 pm on 8 May, 2023".'
        raise HistoryError(path, field, f"{text!r} is no date", remedy) from error
