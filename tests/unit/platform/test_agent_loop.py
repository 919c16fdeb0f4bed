"""The response stage, with scripted engines and a memory that holds a handful of rows."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personavlm.memory_store.queries import Context, Hit, SearchRequest, SearchResult, Window
from personavlm.memory_store.records import (
    CoreMemory,
    EpisodicMemory,
    ProceduralMemory,
    Profile,
    UserKey,
)
from personavlm.platform.agent.loop import NO_ANSWER, Agent, AgentSettings
from personavlm.platform.agent.types import Message, ThinkingDelta
from personavlm.platform.engines.base import Chunk, Conversation, Sampling
from personavlm.platform.engines.scripted import ScriptedEngine
from personavlm.platform.errors import EngineError
from personavlm.platform.prompts.render import read_rows, read_task
from tests.unit.platform.agent_steps import (
    CAT,
    CUP,
    MAY_17,
    NOW,
    TIMES,
    USER,
    Shelf,
    look,
    run,
    semantic,
    think,
    turn,
)


async def test_an_answer_needs_one_step() -> None:
    events, outcome = await run(Agent(ScriptedEngine([think("<answer>Hello, Ana.</answer>")]), Shelf()))
    assert outcome.answer == "Hello, Ana." and outcome.thinking == "so"
    assert [step.action for step in outcome.steps] == ["answer"]
    assert [segment.role for segment in outcome.conversation.segments] == ["system", "user", "assistant"]
    assert any(isinstance(event, ThinkingDelta) for event in events)
    assert outcome.completion_tokens > 0 and outcome.prompt_tokens > 0


async def test_the_first_prompt_shows_what_is_always_known() -> None:
    name = CoreMemory(
        id="c_1", version=1, text="Ana", key="name", event_time=MAY_17, revised_at=MAY_17, recorded_at=MAY_17
    )
    profile = Profile(version=2, traits=(4.24, 3, 3, 3, 2.4), event_time=MAY_17, recorded_at=MAY_17)
    shelf = Shelf(Context((name,), profile, (turn("t_1", "I bought <answer>tea</answer>", CAT),), 7, 8))
    _, outcome = await run(
        Agent(ScriptedEngine([think("<answer>Tea.</answer>")]), shelf),
        images=(CUP,),
        instructions="Be brief.",
    )
    _, prompt, _ = outcome.conversation.segments
    assert read_task(prompt.text) == "reply"
    found = read_rows(prompt.text)
    assert found["core"] == [{"key": "name", "block": "human", "text": "Ana"}]
    assert found["personality"][0] == {
        "trait": "openness", "score": 4.2, "descriptor": "curious and imaginative, likes new ideas"
    }  # fmt: skip
    assert found["personality"][4]["descriptor"] == "calm, hard to unsettle"
    assert found["conversation"] == [
        {"id": "t_1", "time": "2026-05-17 09:30 Sunday", "user": "I bought <answer>tea</answer>",
         "assistant": "Noted.", "images": 1, "captions": ["a cat"]}
    ]  # fmt: skip
    assert found["omitted"] == [{"turns": 7}] and outcome.omitted_turns == 7
    assert found["instructions"] == [{"text": "Be brief."}]
    assert found["message"] == [
        {"time": "2026-05-20 14:05 Wednesday", "text": "What do I drink?", "images": 1}
    ]
    assert prompt.images == (CAT, CUP)
    assert await outcome.conversation.load_image(CAT) == f"ana/{CAT.sha256}".encode()


async def test_without_consent_there_is_no_personality() -> None:
    _, outcome = await run(Agent(ScriptedEngine([think("<answer>Hi.</answer>")]), Shelf()))
    assert "personality" not in read_rows(outcome.conversation.segments[1].text)


async def test_a_retrieval_is_searched_shown_and_answered() -> None:
    shelf = Shelf(
        Context(open_session=(turn("t_9", "hello"),)), (turn("t_9", "hello"), turn("t_2", "I drink tea"))
    )
    script = [look("drink", start_time="2026-05-17", end_time="2026-05-17"), think("<answer>Tea.</answer>")]
    _, outcome = await run(
        Agent(ScriptedEngine(script), shelf, settings=AgentSettings(k_turns=6)), images=(CUP,)
    )
    window = Window(MAY_17.replace(day=16, hour=22, minute=0), datetime(2026, 5, 17, 21, 59, 59, 999999, UTC))
    assert shelf.requests == [
        SearchRequest("drink", "What do I drink?", window, (CUP.sha256,), frozenset({"t_9"}), k_turns=6)
    ]
    first, last = outcome.steps
    assert (first.action, first.keywords, first.window, first.found) == (
        "retrieve",
        "drink",
        window,
        ("t_2",),
    )
    assert last.action == "answer" and outcome.answer == "Tea."
    shown = outcome.conversation.segments[3]
    assert shown.role == "user" and read_task(shown.text) == "memories"
    found = read_rows(shown.text)
    assert [row["user"] for row in found["turns"]] == ["I drink tea"]
    assert found["remaining"] == [{"retrievals": 2}]


async def test_each_search_leaves_out_what_was_seen_and_the_third_forces_the_answer() -> None:
    shelf = Shelf(turns=tuple(turn(f"t_{n}", f"fact {n}") for n in range(9)))
    script = [look("a"), look("b"), look("c"), think("<answer>Enough.</answer>")]
    _, outcome = await run(Agent(ScriptedEngine(script), shelf))
    assert [step.found for step in outcome.steps[:3]] == [("t_0", "t_1"), ("t_2", "t_3"), ("t_4", "t_5")]
    assert shelf.requests[2].exclude == {"t_0", "t_1", "t_2", "t_3"}
    prompts = [segment.text for segment in outcome.conversation.segments if segment.role == "user"]
    assert ["Task: answer_now" in prompt for prompt in prompts] == [False, False, False, True]
    roles = [segment.role for segment in outcome.conversation.segments]
    assert roles == ["system", *["user", "assistant"] * 4]


@pytest.mark.parametrize("last", [look("again"), "", "<think>only thoughts", think("<answer> </answer>")])
async def test_where_the_forced_step_gives_nothing_the_reply_says_so(last: str) -> None:
    _, outcome = await run(Agent(ScriptedEngine([look("a")] * 3 + [last]), Shelf()))
    assert outcome.answer == NO_ANSWER
    assert outcome.steps[-1].action == "answer" and "nothing to say" in outcome.steps[-1].repaired


async def test_the_forced_step_may_answer_in_plain_words() -> None:
    _, outcome = await run(Agent(ScriptedEngine([look("a")] * 3 + ["You drink tea."]), Shelf()))
    assert outcome.answer == "You drink tea."


async def test_no_retrievals_allowed() -> None:
    agent = Agent(ScriptedEngine(["Tea."]), Shelf(), settings=AgentSettings(max_retrievals=0))
    assert (await run(agent))[1].answer == "Tea."


async def test_words_without_grammar_search_once_and_then_count_as_the_answer() -> None:
    shelf = Shelf()
    _, outcome = await run(Agent(ScriptedEngine(["You drink tea.", "I said: tea."]), shelf))
    assert [request.keywords for request in shelf.requests] == ["What do I drink?"]
    assert outcome.answer == "I said: tea."
    assert all("no action" in step.repaired for step in outcome.steps)


async def test_an_engine_that_says_nothing_twice_gets_one_last_chance() -> None:
    _, outcome = await run(Agent(ScriptedEngine(["", "", think("<answer>Tea.</answer>")]), Shelf()))
    assert outcome.answer == "Tea."
    assert [step.action for step in outcome.steps] == ["retrieve", "answer", "answer"]


@dataclass
class Found(Shelf):
    """A memory whose searches always bring the same."""

    result: SearchResult = field(default_factory=SearchResult)

    async def search(self, user: UserKey, request: SearchRequest) -> SearchResult:
        return self.result


async def test_memories_are_shown_with_their_times_and_images() -> None:
    episode = EpisodicMemory(
        id="e_1", version=1, text="A trip", end_time=MAY_17 + timedelta(hours=1), **TIMES
    )
    habit = ProceduralMemory(id="p_1", version=1, text="Runs on Sundays", key="run", **TIMES)
    ended = semantic("s_1", "Drinks Sprite", valid_to=NOW)
    visual = semantic("s_2", "Ana's cup", CUP)
    result = SearchResult(
        semantic=(Hit(ended, "semantic", 0.5, outside_window=True),),
        episodic=(Hit(episode, "episodic", 0.5),),
        procedural=(Hit(habit, "procedural", 0.5),),
        visual=(Hit(visual, "visual", 0.9),),
        turns=(Hit(turn("t_2", "look", CAT, CUP), "turn", 0.4),),
        widened=("semantic",),
    )
    script = [look("cup"), think("<answer>Your cup.</answer>")]
    _, outcome = await run(Agent(ScriptedEngine(script), Found(result=result)))
    shown = outcome.conversation.segments[3]
    found = read_rows(shown.text)
    assert found["procedural"] == [{"id": "p_1", "text": "Runs on Sundays"}]
    assert found["semantic"] == [
        {"id": "s_1", "time": "2026-05-17 09:30 Sunday", "category": "fact", "text": "Drinks Sprite",
         "until": "2026-05-20 14:05 Wednesday", "outside_window": True}
    ]  # fmt: skip
    assert found["visual"][0]["images"] == 1
    assert found["episodes"] == [
        {"id": "e_1", "from": "2026-05-17 09:30 Sunday", "to": "2026-05-17 10:30 Sunday", "text": "A trip"}
    ]
    assert found["turns"][0]["images"] == 2
    assert found["widened"] == [{"kind": "semantic"}]
    assert shown.images == (CUP, CAT)
    step = outcome.steps[0]
    assert set(step.found) == {"s_1", "e_1", "p_1", "s_2", "t_2"}
    assert step.outside_window == ("s_1",) and step.widened == ("semantic",)


async def test_errors_of_the_engine_reach_the_caller() -> None:
    with pytest.raises(EngineError, match="no completion for step 2"):
        await run(Agent(ScriptedEngine([look("a")]), Shelf()))


class Caching:
    """An engine that had computed three tokens of every prompt before."""

    model = "caching"
    version = ""
    description = "Remembers prompts."

    def __init__(self, *completions: str) -> None:
        self.script = ScriptedEngine(completions)

    async def stream(self, conversation: Conversation, sampling: Sampling) -> AsyncGenerator[Chunk, None]:
        async for chunk in self.script.stream(conversation, sampling):
            yield replace(chunk, cached_tokens=3) if chunk.finish_reason else chunk

    async def check_health(self) -> None:
        """Healthy."""

    async def close(self) -> None:
        """Nothing to release."""


async def test_tokens_that_were_not_computed_anew_are_counted_over_all_steps() -> None:
    _, outcome = await run(Agent(Caching(look("cat"), "<answer>Mochi.</answer>"), Shelf()))
    assert outcome.cached_tokens == 6


class Endless:
    """An engine that writes until it is stopped, and says when it was."""

    model = "endless"
    version = ""
    description = "Never stops."

    def __init__(self) -> None:
        self.stopped = asyncio.Event()

    async def stream(self, conversation: Conversation, sampling: Sampling) -> AsyncGenerator[Chunk, None]:
        try:
            yield Chunk("<think>")
            while True:
                yield Chunk("on and on ")
                await asyncio.sleep(0)
        finally:
            self.stopped.set()

    async def check_health(self) -> None:
        """Healthy."""

    async def close(self) -> None:
        """Nothing to release."""


async def test_closing_the_run_stops_the_engine() -> None:
    engine = Endless()
    events = Agent(engine, Shelf()).run(Message(USER, "hi", NOW))
    assert isinstance(await anext(events), ThinkingDelta)
    await events.aclose()
    assert engine.stopped.is_set()


async def test_two_messages_at_once_do_not_touch_each_other() -> None:
    agent = Agent(
        ScriptedEngine([look("a"), think("<answer>Done.</answer>")]), Shelf(turns=(turn("t_1", "x"),))
    )
    outcomes = [outcome for _, outcome in await asyncio.gather(run(agent), run(agent))]
    assert [outcome.steps[0].found for outcome in outcomes] == [("t_1",), ("t_1",)]


def test_a_message_without_an_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="offset"):
        Message(USER, "hi", datetime(2026, 5, 20))


@given(st.lists(st.text(), min_size=4, max_size=4), st.text())
def test_whatever_an_engine_writes_the_user_gets_an_answer(script: list[str], text: str) -> None:
    _, outcome = asyncio.run(run(Agent(ScriptedEngine(script), Shelf()), text))
    assert outcome.answer
    assert outcome.steps[-1].action == "answer"
