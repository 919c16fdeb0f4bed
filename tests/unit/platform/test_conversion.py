"""Which proposals become operations, and why others are dropped."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from personavlm.memory_store.records import (
    Add,
    AnyMemory,
    CoreMemory,
    Delete,
    ImageRef,
    MemoryKind,
    Operation,
    ProceduralMemory,
    SemanticMemory,
    Turn,
    Update,
)
from personavlm.platform.updates.conversion import Conversion
from personavlm.platform.updates.operations import (
    Shown,
    read_operations,
)

NOON = datetime(2026, 5, 17, 12, tzinfo=UTC)
IMAGE = ImageRef("ab" * 32, "image/png", 8, 8)


def turn(index: int, text: str, *images: ImageRef) -> Turn:
    time = NOON + timedelta(minutes=index)
    return Turn(f"t_{index}", index, "t_0", time, time, text, "I see.", images=images)


def semantic(identity: str, text: str) -> SemanticMemory:
    return SemanticMemory(
        id=identity, version=1, text=text, event_time=NOON, revised_at=NOON, recorded_at=NOON
    )


def core(identity: str, key: str, text: str) -> CoreMemory:
    return CoreMemory(
        id=identity, version=1, text=text, event_time=NOON, revised_at=NOON, recorded_at=NOON, key=key
    )


def run(
    kind: MemoryKind,
    proposals: list[dict[str, object]],
    turns: list[Turn],
    memories: list[AnyMemory] | None = None,
    occasion: Turn | None = None,
) -> tuple[tuple[Operation, ...], list[str]]:
    memories = memories or []
    shown = Shown(
        {f"t{number}": item for number, item in enumerate(turns, 1)},
        {f"m{number}": item for number, item in enumerate(memories, 1)},
    )
    read, dropped = read_operations(json.dumps({"operations": proposals}))
    conversion = Conversion(kind, shown, memories, occasion)
    operations = conversion.convert(read)
    return operations, dropped + conversion.dropped


def test_an_added_memory_points_at_its_turns_and_its_predecessor() -> None:
    turns = [turn(0, "hello"), turn(1, "I switched from cola to ginger tea", IMAGE)]
    proposal: dict[str, object] = {
        "op": "add",
        "text": "I switched from cola to ginger tea.",
        "category": "preference",
        "supersedes": "m1",
        "shown": True,
        "reason": "changed drink",
        "evidence": ["t1"],
    }
    [operation], dropped = run(
        MemoryKind.SEMANTIC, [proposal], turns, [semantic("s_1", "I love cola.")], turns[1]
    )
    assert isinstance(operation, Add)
    assert operation.supersedes == "s_1"
    assert operation.evidence == ("t_0", "t_1")
    assert operation.event_time == turns[1].event_time
    assert operation.images == (IMAGE,)
    assert dropped == []


def test_images_go_with_what_they_show_only() -> None:
    occasion = turn(0, "I start at the library on Monday. This is my cat", IMAGE)
    operations, _ = run(
        MemoryKind.SEMANTIC,
        [
            {"op": "add", "text": "I start at the library on Monday.", "category": "fact"},
            {"op": "add", "text": "My cat, a grey tabby.", "category": "concept"},
        ],
        [occasion],
        occasion=occasion,
    )
    assert [op.images for op in operations if isinstance(op, Add)] == [(), (IMAGE,)]


@pytest.mark.parametrize(
    ("proposal", "reason"),
    [
        ({"op": "add", "text": "Owns a castle."}, "neither said nor showed"),
        ({"op": "add", "text": "tea " * 200}, "longer than"),
        ({"op": "add", "text": "i like TEA."}, "known already"),
        ({"op": "update", "id": "m9", "text": "I like green tea."}, "not shown"),
        ({"op": "delete", "id": "s_1", "reason": "gone"}, "not shown"),
    ],
)
def test_a_proposal_without_ground_is_dropped_alone(proposal: dict[str, object], reason: str) -> None:
    occasion = turn(0, "I like green tea")
    good: dict[str, object] = {"op": "add", "text": "I like green tea a lot."}
    operations, dropped = run(
        MemoryKind.SEMANTIC, [proposal, good], [occasion], [semantic("s_1", "I like tea")], occasion
    )
    assert [op.text for op in operations if isinstance(op, Add)] == ["I like green tea a lot."]
    assert len(dropped) == 1 and reason in dropped[0]


def test_an_unknown_predecessor_costs_the_link_not_the_memory() -> None:
    occasion = turn(0, "I like tea now")
    operations, dropped = run(
        MemoryKind.SEMANTIC,
        [{"op": "add", "text": "I like tea now.", "supersedes": "m7"}],
        [occasion],
        occasion=occasion,
    )
    assert isinstance(operations[0], Add) and operations[0].supersedes == ""
    assert "not shown" in dropped[0]


def test_one_memory_is_changed_once_per_answer() -> None:
    occasion = turn(0, "tea tea tea")
    operations, dropped = run(
        MemoryKind.SEMANTIC,
        [
            {"op": "update", "id": "m1", "text": "Likes black tea."},
            {"op": "delete", "id": "m1", "reason": "gone"},
            {"op": "add", "text": "Likes white tea.", "supersedes": "m1"},
        ],
        [occasion],
        [semantic("s_1", "Likes tea.")],
        occasion,
    )
    assert [type(op) for op in operations] == [Update, Add]
    assert all("earlier in the same answer" in why for why in dropped) and len(dropped) == 2


def test_a_memory_that_went_away_meanwhile_is_left_alone() -> None:
    occasion = turn(0, "tea")
    shown = Shown({"t1": occasion}, {"m1": semantic("s_1", "Likes tea.")})
    conversion = Conversion(MemoryKind.SEMANTIC, shown, (), occasion)
    proposals, _ = read_operations(
        '{"operations": [{"op": "update", "id": "m1", "text": "Likes green tea."}]}'
    )
    assert conversion.convert(proposals) == ()
    assert "no longer exists" in conversion.dropped[0]


def test_a_known_key_is_updated_never_doubled() -> None:
    turns = [turn(0, "I moved to Porto, and my cat is called Bo")]
    operations, dropped = run(
        MemoryKind.CORE,
        [
            {"op": "add", "key": "Home", "text": "Lives in Porto.", "evidence": ["t1"]},
            {"op": "add", "key": "pet", "text": "Has a cat called Bo.", "evidence": ["t1"]},
            {"op": "add", "key": "pet", "text": "Has a cat.", "evidence": ["t1"]},
            {"op": "add", "key": "--", "text": "Has a cat again.", "evidence": ["t1"]},
        ],
        turns,
        [core("c_1", "home", "Lives in Faro.")],
    )
    assert [(type(op), getattr(op, "key", "")) for op in operations] == [(Update, ""), (Add, "pet")]
    assert len(dropped) == 2


def test_core_and_procedural_need_evidence() -> None:
    turns = [turn(0, "I run every Thursday")]
    add = {"op": "add", "key": "run", "text": "Runs every Thursday."}
    operations, dropped = run(
        MemoryKind.PROCEDURAL, [{**add, "evidence": ["t9"]}, {**add, "evidence": ["t9", "t1"]}], turns
    )
    assert [op.evidence for op in operations] == [("t_0",)]
    assert len(dropped) == 1 and "rests on no turn" in dropped[0]


def test_the_name_is_updated_but_never_deleted() -> None:
    turns = [turn(0, "Call me Mia, not Maria")]
    memories: list[AnyMemory] = [core("c_1", "name", "Maria"), core("c_2", "age", "34")]
    operations, dropped = run(
        MemoryKind.CORE,
        [
            {"op": "delete", "id": "m1", "reason": "asked"},
            {"op": "delete", "id": "m2", "reason": "asked"},
            {"op": "update", "id": "m1", "text": "Mia", "evidence": ["t1"]},
        ],
        turns,
        memories,
    )
    assert [type(op) for op in operations] == [Delete, Update]
    assert len(dropped) == 1 and "name" in dropped[0]


def test_an_episode_spans_its_turns_in_order() -> None:
    turns = [turn(index, f"about {index}") for index in range(3)]
    [operation], _ = run(
        MemoryKind.EPISODIC,
        [{"op": "add", "text": "Counting.", "keywords": ["count"], "evidence": ["t3", "t1", "t8"]}],
        turns,
    )
    assert isinstance(operation, Add)
    assert operation.evidence == ("t_0", "t_2")
    assert (operation.event_time, operation.end_time) == (turns[0].event_time, turns[2].event_time)
    assert operation.session == "t_0"


def test_procedural_entries_keep_their_id_when_the_key_returns() -> None:
    held = ProceduralMemory(
        id="p_1", version=1, text="Runs.", event_time=NOON, revised_at=NOON, recorded_at=NOON, key="run"
    )
    turns = [turn(0, "I run every Tuesday now")]
    operations, _ = run(
        MemoryKind.PROCEDURAL,
        [{"op": "add", "key": "run", "text": "Runs every Tuesday.", "evidence": ["t1"]}],
        turns,
        [held],
    )
    assert operations == (Update("p_1", "Runs every Tuesday.", turns[0].event_time, ("t_0",)),)
