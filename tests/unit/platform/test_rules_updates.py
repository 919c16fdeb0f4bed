"""What the rules learn from turns and sessions, through the real prompts."""

import json
from itertools import pairwise
from types import ModuleType
from typing import Any

import pytest

from personavlm.memory_store.records import TRAITS
from personavlm.platform.engines.base import Conversation, Segment
from personavlm.platform.engines.rules import core, episodic, personality, procedural, semantic
from personavlm.platform.prompts.render import default_pack
from personavlm.platform.updates.operations import read_operations
from personavlm.platform.updates.pem import Traits, blend

Row = dict[str, Any]
CLOCK = "2026-05-20 10:{:02d} Wednesday"


def respond(task: str, handler: ModuleType, **sections: object) -> list[Row]:
    prompt = default_pack().render(task, **sections)
    text = handler.respond(Conversation([Segment("user", prompt)]))
    assert read_operations(text)[1] == []
    operations: list[Row] = json.loads(text)["operations"]
    return operations


def extract(text: str, *related: tuple[str, str], images: int = 0, caption: str = "") -> list[Row]:
    rows = [
        {"id": f"m{i}", "time": f"2026-05-{i:02d} 10:00 Friday", "category": category, "text": known}
        for i, (category, known) in enumerate(related, 1)
    ]
    turn = {"id": "t1", "time": CLOCK.format(0), "user": text, "assistant": "I see.", "images": images}
    if caption:
        turn["captions"] = [caption]
    return respond("semantic", semantic, core=[], related=rows, earlier=[], turn=[turn], limit=6)


def turns(*texts: str) -> list[Row]:
    return [
        {"id": f"t{i}", "time": CLOCK.format(i), "user": text, "assistant": "I see.", "images": 0}
        for i, text in enumerate(texts, 1)
    ]


def core_of(*texts: str, held: tuple[Row, ...] = ()) -> list[Row]:
    return respond("core", core, core=held, turns=turns(*texts), low=5, high=7)


def habits_of(*texts: str, held: tuple[Row, ...] = ()) -> list[Row]:
    return respond("procedural", procedural, core=[], procedural=held, turns=turns(*texts), limit=5)


@pytest.mark.parametrize(
    ("text", "known", "category"),
    [
        ("I switched from cola to ginger tea.", "I love cola, I drink it with every lunch.", "preference"),
        ("I don't drink cola any more.", "I love cola, I drink it with every lunch.", "preference"),
        ("I've gone off cola, it's too sweet.", "I love cola, I drink it with every lunch.", "preference"),
        ("These days I drink ginger tea.", "I love cola, I drink it with every lunch.", "preference"),
        ("My favourite film is Dune now.", "My favourite film is Arrival.", "preference"),
        ("I moved to Lisbon last week.", "I live in Porto with my sister Ana.", "fact"),
        ("I work for a bank now.", "I work as a nurse.", "fact"),
        ("I love olives these days.", "I hate olives.", "preference"),
        ("I gave up running, my knee hurts.", "I run every Thursday.", "preference"),
        ("Pottery is my favourite hobby now.", "Making prints is my favourite hobby.", "preference"),
    ],
)
def test_a_change_supersedes_what_it_ends_and_nothing_else(text: str, known: str, category: str) -> None:
    others = [("preference", "I like walking in the rain."), ("fact", "My aunt Rosa keeps bees.")]
    [operation] = extract(text, others[0], (category, known), others[1])
    assert operation["supersedes"] == "m2"


@pytest.mark.parametrize(
    "text",
    ["I love green tea too.", "My favourite book is Emma.", "Tom moved to Lisbon.", "I swim on Mondays."],
)
def test_what_does_not_contradict_supersedes_nothing(text: str) -> None:
    known = [
        ("preference", "I love cola."),
        ("preference", "My favourite film is Arrival."),
        ("fact", "I live in Porto with my brother Tom."),
        ("preference", "I run every Thursday."),
    ]
    [operation] = extract(text, *known)
    assert operation["supersedes"] is None


def test_what_is_known_is_not_added_again() -> None:
    assert extract("I still love cola!", ("preference", "I love cola, I drink it with every lunch.")) == []


def test_forgetting_deletes_the_memory_that_is_meant() -> None:
    [operation] = extract(
        "Please forget what I said about olives.", ("fact", "Ana sings."), ("fact", "I hate olives.")
    )
    assert (operation["op"], operation["id"]) == ("delete", "m2")


def test_a_picture_becomes_a_concept_with_the_words_beside_it() -> None:
    [mug] = extract("This is my new mug, isn't it lovely?", images=1)
    assert (mug["category"], mug["text"], mug["shown"]) == ("concept", "This is my new mug.", True)
    [beach] = extract("Look!", images=1, caption="a dog on a beach")
    assert "a dog on a beach" in beach["text"]
    drink, picture = extract(
        "I've gone off cola. This ginger tea is my drink now!", ("preference", "I love cola."), images=1
    )
    assert (drink["supersedes"], drink["shown"]) == ("m1", False)
    assert (picture["category"], picture["shown"]) == ("concept", True)


def test_core_memory_from_an_introduction() -> None:
    entries = core_of(
        "Hi! I'm Mia, I'm 34 and I live in Porto with my sister Ana.",
        "I work as a nurse. I'm allergic to peanuts.",
        "Keep your answers short, please. My favourite film is Arrival.",
    )
    assert {entry["key"]: entry["text"] for entry in entries} == {
        "name": "Mia",
        "age": "34 years old (May 2026).",
        "home": "Lives in Porto.",
        "sister_ana": "Sister: Ana.",
        "work": "Works as a nurse.",
        "allergy_peanuts": "Allergic to peanuts.",
        "style_length": "Keep your answers short, please.",
        "preference_favourite_film": "My favourite film is Arrival.",
    }
    assert [entry["evidence"] for entry in entries] == [["t1"]] * 4 + [["t2"]] * 2 + [["t3"]] * 2
    assert next(entry for entry in entries if entry["key"] == "style_length")["block"] == "persona"


def test_core_memory_is_updated_where_something_changed() -> None:
    held = (
        {"id": "m1", "key": "name", "block": "human", "text": "Mia"},
        {"id": "m2", "key": "home", "block": "human", "text": "Lives in Porto."},
        {"id": "m3", "key": "preference_cola", "block": "human", "text": "I love cola."},
    )
    operations = core_of(
        "We moved to Lisbon!", "I've switched from cola to tea.", "I'm Happy, really.", held=held
    )
    assert [(op["op"], op["id"], op["text"]) for op in operations] == [
        ("update", "m2", "Lives in Lisbon."),
        ("update", "m3", "I've switched from cola to tea."),
    ]


def test_the_oldest_preference_makes_room_for_the_eighth() -> None:
    held = tuple(
        {"id": f"m{i}", "key": f"preference_{i}", "block": "human", "text": f"I love thing{i}."}
        for i in range(7)
    )
    first, second = core_of("I adore papaya.", held=held)
    assert (first["op"], first["id"], bool(first["reason"])) == ("delete", "m0", True)
    assert (second["op"], second["key"]) == ("add", "preference_adore_papaya")


def test_habits_and_goals_come_change_and_end() -> None:
    run, train = "I run every Thursday before work.", "I'm training for a half marathon on 4 October."
    added = habits_of(run, train, "I like tea.")
    assert [(op["op"], op["key"]) for op in added] == [("add", "habit_run"), ("add", "goal_half_marathon")]
    held = tuple({"id": f"m{i}", "key": op["key"], "text": op["text"]} for i, op in enumerate(added))
    changed = habits_of(
        "I run every Tuesday and Thursday now.", "I finished the half marathon today!", held=held
    )
    assert [(op["op"], op["id"]) for op in changed] == [("update", "m0"), ("delete", "m1")]
    assert changed[1]["reason"].startswith("reached")
    [ended] = habits_of("I gave up running.", held=held)
    assert (ended["op"], ended["id"]) == ("delete", "m0")


def test_a_habit_is_told_in_two_sentences_and_ended_by_its_owner_only() -> None:
    [course] = habits_of(
        "I signed up for a pottery course. It's every Tuesday evening.", "My list: call Tom each week."
    )
    assert course["text"] == "I signed up for a pottery course. It's every Tuesday evening."
    held = ({"id": "m1", "key": "habit_climb", "text": "I climb every Thursday with Jonas."},)
    assert habits_of("Jonas cancelled our climbing evening.", held=held) == []
    [ended] = habits_of("I've stopped climbing.", held=held)
    assert ended["op"] == "delete"


def test_a_session_is_cut_where_its_matter_changes() -> None:
    first, second = respond(
        "episodic",
        episodic,
        core=[],
        turns=turns(
            "I'm planning a weekend in Porto with Ana.",
            "Ana wants to see the bridge in Porto.",
            "My boss Carla gave me a new project.",
            "The deadline for the project is 3 June.",
        ),
    )
    assert (first["evidence"], second["evidence"]) == (["t1", "t2"], ["t3", "t4"])
    assert "Porto" in first["text"] and "porto" in first["keywords"]
    assert "3 June (2026)" in second["text"] and "project" in second["keywords"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I'm so worried about the interview, I couldn't sleep at all.", {"neuroticism": 5}),
        ("I'm not worried at all, it'll be fine.", {"neuroticism": 1}),
        ("My sister is so anxious about the wedding.", {}),
        ("Great party, I met so many new people!", {"extraversion": 5}),
        ("Crowds drain me, I'd rather be alone.", {"extraversion": 1}),
        ("I made a checklist and booked everything in advance.", {"conscientiousness": 5}),
        ("I forgot my keys.", {"conscientiousness": 2}),
        ("What is the capital of Peru?", {}),
        ("Please remember I like tea, thanks!", {}),
    ],
)
def test_personality_is_read_from_signs(text: str, expected: dict[str, int]) -> None:
    assert personality.score(text) == dict.fromkeys(TRAITS, 3) | expected


def test_personality_shows_gradually_over_many_turns() -> None:
    nervous, curious, plain = "I'm worried about it.", "I wonder how glass is made.", "I had soup for lunch."
    traits: Traits = (3.0,) * 5
    curve = []
    for turn in range(90):
        text = (plain, nervous, plain, curious)[turn % 4] if turn > 20 else plain
        traits = blend(traits, tuple(personality.score(text).values()), turn) or traits
        curve.append(traits)
    assert curve[20] == (3.0,) * 5
    openness, neuroticism = [point[0] for point in curve], [point[4] for point in curve]
    assert 3.3 < openness[-1] < 4 and 3.3 < neuroticism[-1] < 4
    assert max(abs(b - a) for a, b in pairwise(neuroticism)) < 0.5


@pytest.mark.parametrize(
    "text",
    ["\n", "I", "?!", "I love", "forget", "remember", "I " * 500, "\u6211\u559c\u6b22\u8336\u3002", "I'm"],
)
def test_the_rules_survive_any_text(text: str) -> None:
    extract(text)
    core_of(text)
    habits_of(text)
    respond("episodic", episodic, core=[], turns=turns(text, text, text, text))
