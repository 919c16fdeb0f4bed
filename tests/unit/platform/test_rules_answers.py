"""Questions about a small invented life, through the real store, updates, prompts and loop."""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest

from personavlm.memory_store import MemoryStore
from personavlm.memory_store.queries import Context, SearchRequest, SearchResult
from personavlm.memory_store.records import TurnDraft, UserKey
from personavlm.platform.agent.loop import Agent
from personavlm.platform.agent.types import Message, Outcome
from personavlm.platform.encoders.image_descriptor import ImageDescriptor
from personavlm.platform.encoders.minilm import MiniLmEncoder
from personavlm.platform.engines.rules.answers import is_plan, kinds_asked, subject, tells
from personavlm.platform.engines.rules.engine import RulesEngine
from personavlm.platform.engines.rules.question import read_question
from personavlm.platform.updates import UpdateStage

USER = UserKey("acme", "tom")
ZONE = timezone(timedelta(hours=1))
NOW = datetime(2026, 11, 20, 18, 0, tzinfo=ZONE)  # a Friday
ENGINE = RulesEngine()
LIFE = (
    ("2026-08-03 09:00", "I'm Tom, I live in Cork and I repair violins."),
    ("2026-08-03 09:03", "Please don't use exclamation marks."),
    ("2026-08-05 20:00", "My favourite dessert is tiramisu."),
    ("2026-08-09 11:00", "I play chess at the library every Wednesday evening with Oskar, a retired pilot."),
    ("2026-08-14 19:00", "My goal is to swim two kilometres without a break at the lake day in October."),
    ("2026-08-20 13:00", "Priya Raman is our new landlady, she lives upstairs."),
    ("2026-08-20 13:05", "Priya Raman laughed about my collection of clocks."),
    ("2026-08-25 17:00", "I found a brass lamp at the harbour auction. It cost 45 euros, shade included."),
    ("2026-08-25 17:08", "The lamp stands beside my green armchair now."),
    ("2026-09-02 21:00", "I argued with Oskar about a borrowed clock, and we aren't speaking."),
    ("2026-09-05 10:00", "My old piano takes up half the room. Should I tune it or give it to the school?"),
    ("2026-09-12 22:00", "What does the doctor's letter mean? I've read it five times."),
    ("2026-09-12 22:04", "I'm afraid that they will find something wrong with my hearing."),
    ("2026-09-19 18:00", "A customer gave me a ticket for a tango evening and I stayed until midnight."),
    ("2026-09-20 18:00", "Oskar came by and apologised, we play again next week."),
    ("2026-09-28 12:00", "Long parties exhaust me, I'd rather cook for two friends."),
    ("2026-10-10 16:00", "I swam the two kilometres at the lake day in 51 minutes, without a break."),
    ("2026-10-15 20:00", "I've gone off tiramisu. Rice pudding is my favourite dessert now."),
    ("2026-10-20 20:00", "I read about sourdough enzymes, but I'm a complete novice there."),
    ("2026-11-01 10:00", "I moved to Galway yesterday, I live in Galway now."),
    ("2026-11-15 12:00", "I swam in the canal this morning and saw an otter."),
    ("2026-11-15 12:30", "I want to swim five kilometres in the sea next year."),
)


class Remembered:
    """A store as the loop reads it."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store

    async def context(self, user: UserKey, now: datetime) -> Context:
        return self.store.context(user, now)

    async def search(self, user: UserKey, request: SearchRequest) -> SearchResult:
        return self.store.search(user, request)

    async def image(self, user: UserKey, sha256: str) -> bytes:
        return self.store.image(user, sha256)


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remembered]:
    path = tmp_path_factory.mktemp("store")
    store = MemoryStore.open(path, text_encoder=MiniLmEncoder(), image_encoder=ImageDescriptor())
    asyncio.run(live_through(store))
    yield Remembered(store)
    store.close()


async def live_through(store: MemoryStore) -> None:
    stage = UpdateStage(store, ENGINE)
    for time, text in LIFE:
        told = datetime.fromisoformat(time).replace(tzinfo=ZONE)
        store.append_turn(USER, TurnDraft(text, "I see.", told, utc_offset_minutes=60))
        await stage.run(USER)
    await stage.close_sessions(USER, NOW)
    await stage.run(USER)


async def ask(life: Remembered, text: str) -> Outcome:
    events = [event async for event in Agent(ENGINE, life).run(Message(USER, text, NOW))]
    outcome = events[-1]
    assert isinstance(outcome, Outcome)
    return outcome


@pytest.mark.parametrize(
    ("question", "answer", "not_in_it"),
    [
        ("Who is Priya Raman?", "landlady", "clocks"),
        ("How much did I pay for the brass lamp?", "45 euros", "armchair"),
        ("What colour is my armchair?", "green", "45"),
        ("Where did I swim last Sunday?", "canal", "five kilometres"),
        ("What did I want to decide about the piano?", "tune it or give it", "clock"),
        ("What do I usually do on Wednesday evenings, and with whom?", "Oskar", "tango"),
        ("I asked you what the doctor's letter means. What was behind it?", "hearing", "piano"),
        ("I'm invited to long birthday parties. Is that something for me?", "cook for two", "lamp"),
        ("Which city did I live in before Galway?", "Cork", "Galway now"),
        ("What does an enzyme do in sourdough? Explain it at my level.", "cannot explain", "pudding"),
    ],
)
async def test_the_kind_of_answer_asked_for(
    life: Remembered, question: str, answer: str, not_in_it: str
) -> None:
    outcome = await ask(life, question)
    assert answer in outcome.answer
    assert not_in_it not in outcome.answer
    assert outcome.steps[0].action == "retrieve"


async def test_a_result_is_told_with_its_aim(life: Remembered) -> None:
    said = (await ask(life, "Did I reach my goal for the lake day?")).answer
    assert said.index("51 minutes") < said.index("My goal is")


async def test_a_favourite_is_looked_up_and_what_it_was_before_is_named(life: Remembered) -> None:
    outcome = await ask(life, "What is my favourite dessert these days?")
    assert outcome.steps[0].found
    assert "Rice pudding" in outcome.answer and "until Thursday 15 October: tiramisu." in outcome.answer


async def test_how_two_people_got_on_is_told_in_order(life: Remembered) -> None:
    said = (await ask(life, "How have things between Oskar and me changed since September?")).answer
    assert said.index("argued") < said.index("apologised")


async def test_nothing_is_quoted_twice(life: Remembered) -> None:
    said = (await ask(life, "Where did I find the brass lamp?")).answer
    assert said.count("harbour auction") == 1


async def test_a_date_that_the_answer_names_is_not_repeated(life: Remembered) -> None:
    said = (await ask(life, "What did I see in the canal?")).answer
    assert "on Sunday 15 November" in said.replace("On", "on") and "(" not in said


async def test_who_wants_no_exclamation_marks_gets_none(life: Remembered) -> None:
    for text in ("I won the village quiz, hooray!", "Hello!", "I love this, wonderful!"):
        assert "!" not in (await ask(life, text)).answer


@pytest.mark.parametrize("text", ["My train was late. How does a signal box work?", "Is it going to rain?"])
async def test_a_question_is_never_acknowledged_as_news(life: Remembered, text: str) -> None:
    outcome = await ask(life, text)
    assert outcome.steps[0].action == "retrieve"
    assert "nothing" in outcome.answer or "do not remember" in outcome.answer


async def test_acknowledgements_differ_with_what_is_said(life: Remembered) -> None:
    told = ("I baked plum bread.", "My boss is on leave.", "I argued with Bea.", "We booked a cabin.")
    assert len({(await ask(life, text)).answer for text in told}) == len(told)


def test_what_a_question_asks_for() -> None:
    assert kinds_asked("How much did the kayak cost?") == {"money"}
    assert "my_question" in kinds_asked("What did I want to decide about the kayak?")
    assert subject("Who is Bea Lund again?") == "Bea Lund" and not subject("Who was it?")
    assert tells({"introduction"}, "Bea Lund is my tutor.", "Bea Lund")
    assert not tells({"introduction"}, "Bea Lund waved.", "Bea Lund")
    assert is_plan("I'd like to paddle to Malta.") and not is_plan("I paddled to Malta.")


def test_habits_and_wishes_mean_no_window() -> None:
    now = NOW.replace(tzinfo=None)
    assert not read_question("What do I usually do on Fridays?", now).window.start
    assert not read_question("It's Friday. Would I enjoy a kayak tour?", now).window.start
    assert read_question("What did I do last Friday?", now).window.start
    assert read_question("How did my mood change since October?", now).window.end is None
