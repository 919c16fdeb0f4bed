"""Conversations that are longer than the engine's context, or hold too many images."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from personavlm.memory_store.queries import Context
from personavlm.platform.agent.loop import Agent, AgentSettings
from personavlm.platform.engines.base import Chunk, Conversation, Sampling
from personavlm.platform.engines.scripted import ScriptedEngine
from personavlm.platform.errors import ContextOverflow
from personavlm.platform.prompts.render import read_rows
from tests.unit.platform.agent_steps import CUP, Shelf, look, run, think, turn


class Narrow:
    """An engine whose context holds ``room`` characters; it retrieves once and then answers."""

    model = "narrow"
    version = ""
    description = "Reads little."

    def __init__(self, room: int) -> None:
        self.room = room

    async def stream(self, conversation: Conversation, sampling: Sampling) -> AsyncGenerator[Chunk, None]:
        length = sum(len(segment.text) for segment in conversation.segments)
        if length > self.room:
            raise ContextOverflow("too long", length - self.room)
        steps = sum(segment.role == "assistant" for segment in conversation.segments)
        yield Chunk(look("tea") if steps == 0 else think("<answer>Done.</answer>"))

    async def check_health(self) -> None:
        """Healthy."""

    async def close(self) -> None:
        """Nothing to release."""


SESSION = tuple(turn(f"t_{i}", f"number {i} " + "so it goes " * 40) for i in range(12))
FOUND = tuple(turn(f"f_{i}", f"found {i} " + "long ago " * 60) for i in range(4))


async def test_the_oldest_turns_of_the_session_give_way_to_a_narrow_context() -> None:
    _, whole = await run(Agent(Narrow(10**6), Shelf(Context(open_session=SESSION), turns=())))
    room = len(whole.conversation.segments[0].text) + 4000
    _, outcome = await run(Agent(Narrow(room), Shelf(Context(open_session=SESSION), turns=())))
    shown = [row["id"] for row in read_rows(outcome.conversation.segments[1].text)["conversation"]]
    assert 0 < len(shown) < len(SESSION) and shown == [one.id for one in SESSION[-len(shown) :]]
    assert outcome.omitted_turns == len(SESSION) - len(shown)
    assert f"without {outcome.omitted_turns} turns of the session" in outcome.steps[0].repaired


async def test_the_weaker_finds_give_way_to_a_narrow_context() -> None:
    _, whole = await run(Agent(Narrow(10**6), Shelf(turns=FOUND)))
    room = sum(len(s.text) for s in whole.conversation.segments[:3]) + 1000
    _, outcome = await run(Agent(Narrow(room), Shelf(turns=FOUND)))
    shown = read_rows(outcome.conversation.segments[3].text).get("turns", [])
    assert len(shown) < len(FOUND)
    assert f"shown {len(shown)} of what was found" in outcome.steps[1].repaired
    assert outcome.answer == "Done."


async def test_where_nothing_else_gives_way_lookups_do() -> None:
    _, whole = await run(Agent(Narrow(10**6), Shelf(), settings=AgentSettings(max_retrievals=0)))
    room = sum(len(s.text) for s in whole.conversation.segments[:2]) + 200

    class Reserving(Narrow):
        """Keeps four characters free for each token of the reserve."""

        async def stream(self, conversation: Conversation, sampling: Sampling) -> AsyncGenerator[Chunk, None]:
            if sampling.reserve:
                raise ContextOverflow("no room for lookups", sampling.reserve)
            async for chunk in super().stream(conversation, sampling):
                yield chunk

    _, outcome = await run(Agent(Reserving(room), Shelf(Context(open_session=SESSION[:1]))))
    assert [step.action for step in outcome.steps] == ["answer"]
    assert "no room to look anything up" in outcome.steps[0].repaired


async def test_a_message_that_can_never_fit_is_an_error() -> None:
    with pytest.raises(ContextOverflow):
        await run(Agent(Narrow(100), Shelf(Context(open_session=SESSION))))


async def test_no_conversation_has_more_images_than_allowed() -> None:
    images = tuple(replace(CUP, sha256=f"{i:064x}") for i in range(9))
    shelf = Shelf(turns=tuple(turn(f"t_{i}", "see", image) for i, image in enumerate(images)))
    script = [look("a"), look("b"), look("c"), think("<answer>Done.</answer>")]
    settings = AgentSettings(max_images=3, max_images_in_all=4)
    _, outcome = await run(Agent(ScriptedEngine(script), shelf, settings=settings), images=images[:2])
    assert len(outcome.conversation.images) == 4
