"""Where a model writes: what breaks a rule, or what it finds wrong itself, is written again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from personavlm.jobs.synthesize.checks import life_problems, reply_problems
from personavlm.jobs.synthesize.correction import Corrector
from personavlm.jobs.synthesize.life import Life, Plan
from personavlm.jobs.synthesize.making import LifeMaker
from personavlm.jobs.synthesize.model_writer import ModelWriter
from personavlm.jobs.synthesize.plan import plan_life
from personavlm.jobs.synthesize.recorder import Recorder
from personavlm.jobs.synthesize.wording import WorldWriter
from personavlm.platform.engines.base import Conversation, Sampling, Segment, complete
from personavlm.platform.engines.scripted import ScriptedEngine
from tests.unit.jobs.synthesize.small import config, home

PLAN = plan_life(config(turns=(12, 12)), 5)
ONE_SESSION = Plan(persona=PLAN.persona, sessions=PLAN.sessions[:1])
FINE = '{"problems": []}'


def plain() -> Life:
    return asyncio.run(WorldWriter().write(ONE_SESSION))


def as_json(texts: Sequence[tuple[str, str]]) -> str:
    return json.dumps({"turns": [{"user": user, "assistant": reply} for user, reply in texts]})


def good(mark: str) -> str:
    return as_json([(f"{turn.user_text} {mark}", "I see.") for turn in plain().turns])


def written(*completions: str, corrections: int = 2) -> Life:
    return asyncio.run(ModelWriter(ScriptedEngine(completions), corrections).write(ONE_SESSION))


def test_a_good_draft_is_taken() -> None:
    life = written(good("First."), FINE)
    assert all(turn.user_text.endswith("First.") for turn in life.turns)
    assert life.corrected == 0


def test_a_draft_that_forgets_a_fact_is_written_again() -> None:
    vague = as_json([("Hello.", "Hi.") for _ in plain().turns])
    life = written(vague, good("Second."), FINE)
    assert all(turn.user_text.endswith("Second.") for turn in life.turns)
    assert life.corrected == 1


def test_what_the_model_finds_wrong_is_written_again() -> None:
    complaint = '{"problems": ["The second reply is rude."]}'
    # The review is the model's second message; so is what it writes again, since reviews are not kept.
    both = f"{complaint}\n{good('Again.')}"
    life = written(good("First."), both, FINE)
    assert all(turn.user_text.endswith("Again.") for turn in life.turns)
    assert life.corrected == 1


def test_what_stays_wrong_keeps_the_worlds_words() -> None:
    life = written("no", "no", "no")
    assert [turn.user_text for turn in life.turns] == [turn.user_text for turn in plain().turns]
    assert life_problems(life, 0.0) == []


def problems(segments: Sequence[Segment]) -> Iterator[str]:
    yield from reply_problems(segments)


def test_an_answer_that_tells_too_much_is_corrected_and_the_correction_is_not_kept() -> None:
    question = Segment("user", "What do I like?")
    leak = Segment("assistant", "<think>I guess.</think><answer>You like fado at Gull Point.</answer>")
    fair = "<think>Nothing says it.</think><answer>You have not told me.</answer>"
    corrector = Corrector(ScriptedEngine(["", fair]), 2)
    assert asyncio.run(corrector.corrected_reply((question, leak), problems)) == (
        question,
        Segment("assistant", fair),
    )
    assert corrector.corrected == 1
    stubborn = Corrector(ScriptedEngine(["", leak.text, leak.text]), 1)
    assert asyncio.run(stubborn.corrected_reply((question, leak), problems)) is None
    assert asyncio.run(Corrector(None, 2).corrected_reply((question, leak), problems)) is None


def test_malformed_exchanges_are_not_recorded() -> None:
    recorder = Recorder(ScriptedEngine(['{"operations": 1}', '{"operations": []}']))
    conversation = Conversation([Segment("user", "Task: core\nAnswer.")])
    asyncio.run(complete(recorder, conversation, Sampling()))
    assert len(recorder.taken()) == 1
    asyncio.run(complete(recorder, conversation, Sampling()))
    conversation.append(Segment("assistant", '{"operations": 1}'))
    conversation.append(Segment("user", "That could not be read."))
    asyncio.run(complete(recorder, conversation, Sampling()))
    assert recorder.taken() == []


def test_a_life_is_made_with_a_model_that_knows_nothing(tmp_path: Path) -> None:
    """Its dialogues, memories and answers all break rules: the world's words stay, the rest is left out."""
    settings = config(turns=(12, 12), output=tmp_path, corrections=0)
    answer = "<think>No.</think><answer>I do not know.</answer>"
    maker = LifeMaker(settings, home(), ScriptedEngine([answer] * 3))
    statistics = asyncio.run(maker.make(PLAN))
    assert statistics.turns == 12
    assert set(statistics.samples) <= {"reasoning"}  # replies to turns, which nothing forbids
    assert sum(count for kind, count in statistics.left_out.items() if "question" in kind) > 3
