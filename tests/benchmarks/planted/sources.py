"""Other conversations with questions, in the shape of the planted ones: LoCoMo's file, the demo's history."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import personavlm.deployments.demo
from personavlm.platform.histories.locomo import DATE_FORMAT, evidence_ids
from tests.benchmarks.planted.records import ASSISTANT, USER, Category, Conversation, Message, Question

LOCOMO_CATEGORIES: dict[int, Category] = {
    1: "multi-hop",
    2: "temporal",
    3: "open-domain",
    4: "single-hop",
    5: "adversarial",
}
DEMO = Path(personavlm.deployments.demo.__file__).parent / "history" / "history.json"
SESSION_GAP = timedelta(minutes=60)


def locomo(path: Path) -> list[Conversation]:
    """LoCoMo's conversations, message by message, with the questions that have evidence."""
    return [_locomo_sample(sample, index) for index, sample in enumerate(json.loads(path.read_text()))]


def _locomo_sample(sample: dict[str, Any], index: int) -> Conversation:
    told = sample["conversation"]
    numbers = sorted(
        int(name.removeprefix("session_")) for name in told if re.fullmatch(r"session_\d+", name)
    )
    messages: list[Message] = []
    for number in numbers:
        date = datetime.strptime(told[f"session_{number}_date_time"], DATE_FORMAT).replace(tzinfo=UTC)
        for place, turn in enumerate(told[f"session_{number}"]):
            time = date + timedelta(seconds=30 * place)
            caption = turn.get("blip_caption", "")
            messages.append(Message(turn["dia_id"], number, turn["speaker"], time, turn["text"], caption))
    known = {message.id for message in messages}
    asked_at = messages[-1].time + timedelta(days=1)
    asked: dict[str, Question] = {}
    for record in sample["qa"]:
        ids = dict.fromkeys(id for entry in record["evidence"] for id in evidence_ids(entry))
        evidence = tuple(id for id in ids if id in known)
        if evidence:
            category = LOCOMO_CATEGORIES[record["category"]]
            key = f"{record['question']} {category} {evidence}"
            asked[key] = Question(record["question"], category, evidence, asked_at)
    speakers = (told["speaker_a"], told["speaker_b"])
    return Conversation(f"locomo-{index}", speakers, tuple(messages), tuple(asked.values()))


def demo(path: Path = DEMO) -> Conversation:
    """The demo's history: evidence is a turn, of which the user's and the assistant's text are parts."""
    history = json.loads(path.read_text())
    messages: list[Message] = []
    session, before = 0, None
    for turn in history["turns"]:
        time = datetime.fromisoformat(turn["event_time"])
        session += before is not None and time - before >= SESSION_GAP
        before = time
        caption = " ".join(image.get("caption", "") for image in turn.get("images", ()))
        messages.append(Message(f"{turn['id']}/user", session, USER, time, turn["user_text"], caption))
        messages.append(Message(f"{turn['id']}/assistant", session, ASSISTANT, time, turn["assistant_text"]))
    questions = tuple(
        Question(
            record["question"],
            "single-hop" if len(record["expected_evidence"]) == 1 else "multi-hop",
            tuple(record["expected_evidence"]),
            datetime.fromisoformat(record["event_time"]),
        )
        for record in history["questions"]
        if record["expected_evidence"]
    )
    return Conversation("demo", (USER, ASSISTANT), tuple(messages), questions)
