"""Loader of Persona-MME: ``user_data.json`` of each user, and one question file for all of them.

The times of Persona-MME name no zone; they are read as UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from personavlm.platform.histories.format import (
    History,
    HistoryError,
    build_history,
    read_json,
    resolve_image,
)

IMAGE_MARK = "<img>"
QUESTION_FILE = "Persona-MME.json"
ALIGNMENT_CHOICES = {"a": "It fits what this user would like to hear.", "b": "It does not fit this user."}


def load_persona_mme(path: Path, question_file: Path | None = None) -> list[History]:
    """Read one ``user_data.json``, or all below a folder, each with its questions.

    Without ``question_file``, a ``Persona-MME.json`` beside the file or in a folder above it is used; where
    there is none, the histories have no questions. Raises `HistoryError`.
    """
    files = sorted(path.rglob("user_data.json")) if path.is_dir() else [path]
    if not files:
        raise HistoryError(path, "", "holds no user_data.json", "Name the folder of one or more users.")
    question_file = question_file or _find_question_file(files[0])
    records = read_json(question_file) if question_file else []
    if not isinstance(records, list):
        raise HistoryError(question_file or path, "", "is not a JSON list", "Give the benchmark's questions.")
    return [_load_user(file, records, question_file or file) for file in files]


def chosen_letter(answer: str) -> str:
    """The letter that an answer chose: the character before its first ``)``, or nothing."""
    before, bracket, _ = answer.partition(")")
    return before[-1:].lower() if bracket else ""


def _find_question_file(file: Path) -> Path | None:
    candidates = (folder / QUESTION_FILE for folder in file.resolve().parents)
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _load_user(file: Path, records: list[Any], question_file: Path) -> History:
    data = read_json(file)
    if not isinstance(data, dict) or not isinstance(data.get("sessions"), list):
        raise HistoryError(file, "sessions", "is missing or no list", "Give a user_data.json of Persona-MME.")
    profile = data.get("profile") or {}
    if not isinstance(profile, dict):
        raise HistoryError(file, "profile", "is no map", "Give facts by name.")
    bucket_and_user = file.resolve().parts[-3:-1]
    fields = {
        "user": "persona-mme-" + "-".join(bucket_and_user),
        "core": {key: _as_text(value) for key, value in profile.items()},
        "turns": list(_turns(file, data)),
        "questions": list(_questions(question_file, records, "/".join((*bucket_and_user, file.name)))),
    }
    return build_history(file, fields)


def _turns(file: Path, data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    paths = iter(data.get("imgs") or [])
    for session_number, session in enumerate(data["sessions"], start=1):
        if not isinstance(session, list):
            field = f"sessions.{session_number - 1}"
            raise HistoryError(file, field, "is no list of turns", "Give the release's layout.")
        for number, turn in enumerate(session, start=1):
            field = f"sessions.{session_number - 1}.{number - 1}"
            text = _required(file, turn, "user", field)
            images = [_next_image(file, paths, field) for _ in range(text.count(IMAGE_MARK))]
            yield {
                "id": f"s{session_number}.{number}",
                "event_time": _parse_time(file, _required(file, turn, "time", field), f"{field}.time"),
                "user_text": text.replace(IMAGE_MARK, "").strip(),
                "assistant_text": _required(file, turn, "assistant", field),
                "images": images,
            }


def _next_image(file: Path, paths: Iterator[str], field: str) -> dict[str, str]:
    """The next path of ``imgs``; the data set writes them relative to a folder above the user's."""
    path = next(paths, None)
    if path is None:
        remedy = "Every mark in a user text takes the next path of imgs; add the missing one."
        raise HistoryError(file, f"{field}.user", f"there are more {IMAGE_MARK} marks than imgs", remedy)
    beside = (file.parent / "imgs" / Path(path).name, file.parent / Path(path).name)
    local = next((candidate for candidate in beside if candidate.is_file()), None)
    return {
        "path": resolve_image(file, "imgs", str(local.resolve()) if local else path, file.resolve().parents)
    }


def _questions(file: Path, records: list[Any], data_path: str) -> Iterator[dict[str, Any]]:
    for index, record in enumerate(records):
        if not _required(file, record, "data_path", str(index)).endswith("/" + data_path):
            continue
        time = _parse_time(file, _required(file, record, "time", str(index)), f"{index}.time")
        yield {
            "id": f"q{index}",
            "task": _required(file, record, "question_type", str(index)),
            "question": _required(file, record, "query", str(index)),
            "event_time": time,
            "choices": {key.strip("()"): str(value) for key, value in record.get("choices", {}).items()},
            "answer": _required(file, record, "answer", str(index)).strip("()"),
        }
        yield from _alignment_questions(record, index, time)


def _alignment_questions(record: dict[str, Any], index: int, time: datetime) -> Iterator[dict[str, Any]]:
    """A preference pair gives two questions: each reply is judged on its own."""
    pair = record.get("alignment") or {}
    for name, answer in (("chosen", "a"), ("rejected", "b")):
        if name in pair:
            yield {
                "id": f"q{index}.{name}",
                "task": "Personality Alignment",
                "question": f"I asked: {record['query']}\nThe reply: {pair[name]}\nDoes the reply fit me?",
                "event_time": time,
                "choices": ALIGNMENT_CHOICES,
                "answer": answer,
            }


def _parse_time(file: Path, text: str, field: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
    except ValueError as error:
        raise HistoryError(file, field, f"{text!r} is no time", "Write it as 2025-01-31 09:10.") from error


def _required(file: Path, record: object, key: str, field: str) -> str:
    value = record.get(key) if isinstance(record, dict) else None
    if not isinstance(value, str):
        raise HistoryError(file, f"{field}.{key}", "is missing or no text", "Give the release's layout.")
    return value


def _as_text(value: object) -> str:
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)
