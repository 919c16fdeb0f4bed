"""Judges: what they read, what they say, and what happens when they fail."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personavlm.jobs.rewards.base import Episode, JudgeError, Verdict
from personavlm.jobs.rewards.config import JudgeConfig, JudgingConfig, RewardConfig
from personavlm.jobs.rewards.engine_judge import EngineJudge, delimited, names_option, read_score
from personavlm.jobs.rewards.pool import JudgePool
from personavlm.jobs.rewards.reward import Parts
from personavlm.jobs.trajectories import Trajectory
from personavlm.platform.agent.types import Outcome, StepTrace
from personavlm.platform.engines.base import Conversation, Segment
from personavlm.platform.engines.scripted import ScriptedEngine
from tests.unit.jobs.grpo.scripted import question

GOOD = "<think>since tea</think><answer>green tea</answer>"
ASKED = JudgeConfig.model_validate({"engine": {"kind": "openai", "base_url": "http://nowhere", "model": "m"}})


def episode(text: str = GOOD, found: tuple[str, ...] = (), **known: object) -> Episode:
    steps = (StepTrace("retrieve", "look", found=found), StepTrace("answer", "since tea"))
    said = [Segment("user", "?")]
    said += [Segment("assistant", "<think>look</think><retrieve>{}</retrieve>"), Segment("user", "memories")]
    conversation = Conversation([*said, Segment("assistant", text)])
    trajectory = Trajectory((1, 2), (False, True), (0.0, -1.0), ("", "step-0"))
    return Episode(question(0, **known), Outcome("green tea", "since tea", steps, conversation), trajectory)


@dataclass
class Flaky:
    """Fails as often as told, then succeeds."""

    failures: int
    asked: int = 0
    at_once: int = 0
    most_at_once: int = 0
    verdict: Verdict = field(default_factory=lambda: Verdict(1.0, 0.5))

    async def judge(self, episode: Episode) -> Verdict:
        self.asked += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if self.asked <= self.failures:
            raise JudgeError("no")
        return self.verdict


def patience(**settings: float) -> JudgingConfig:
    return JudgingConfig.model_validate({"attempts": 1, "pause_s": 0, "breaker_failures": 2} | settings)


async def test_a_judge_that_fails_is_asked_again() -> None:
    judge = Flaky(failures=2)
    assert await JudgePool(judge, patience(attempts=3)).judge(episode()) == judge.verdict
    assert judge.asked == 3


async def test_a_judge_that_is_down_is_left_alone_and_tried_again_later() -> None:
    judge = Flaky(failures=2)
    pool = JudgePool(judge, patience(breaker_rest_s=3600))
    for _ in range(5):
        with pytest.raises(JudgeError):
            await pool.judge(episode())
    assert judge.asked == 2
    judge = Flaky(failures=2)
    pool = JudgePool(judge, patience(breaker_rest_s=0))
    for _ in range(2):
        with pytest.raises(JudgeError):
            await pool.judge(episode())
    assert await pool.judge(episode()) == judge.verdict


async def test_no_more_verdicts_are_asked_for_at_once_than_allowed() -> None:
    judge = Flaky(failures=0)
    pool = JudgePool(judge, patience(concurrency=3))
    await asyncio.gather(*(pool.judge(episode()) for _ in range(12)))
    assert (judge.asked, judge.most_at_once) == (12, 3)


async def test_a_judge_that_does_not_answer_is_not_waited_for() -> None:
    class Silent:
        async def judge(self, episode: Episode) -> Verdict:
            await asyncio.Event().wait()
            raise AssertionError

    with pytest.raises(JudgeError, match="took longer"):
        await JudgePool(Silent(), patience(timeout_s=0.01)).judge(episode())


async def test_a_model_judges_both_and_options_by_their_letter() -> None:
    judge = EngineJudge(ScriptedEngine(['{"score": 7}']), ASKED)
    assert await judge.judge(episode()) == Verdict(0.7, 0.7)
    assert await judge.judge(episode(options=("x", "y"))) == Verdict(0.0, 0.7)


@pytest.mark.parametrize("reply", ["7", "score: 7", '{"score": 11}', '{"score": 7.5}', '{"score": true}', ""])
async def test_whatever_is_no_score_is_a_failure(reply: str) -> None:
    with pytest.raises(JudgeError):
        await EngineJudge(ScriptedEngine([reply]), ASKED).judge(episode())


@given(st.text())
def test_no_text_can_end_its_own_block(text: str) -> None:
    prompt = delimited("Grade.", {"answer": text})
    mark = prompt.rsplit(" ", 1)[1].rstrip("]")
    assert mark not in text and prompt.count(f"[end of answer {mark}]") == 1


@given(st.integers(0, 10))
def test_every_whole_score_is_read(score: int) -> None:
    assert read_score(f' {{"score": {score}}}\n') == score


@pytest.mark.parametrize(
    ("answer", "right"), [("b", 1), ("(b) tea", 1), ("B) tea", 1), ("because", 0), ("a", 0), ("", 0)]
)
def test_an_option_is_named_by_its_letter(answer: str, right: int) -> None:
    assert names_option(answer, "(b)") == bool(right)


def parts_of(told: Episode, verdict: Verdict) -> Parts:
    return Parts.of(told.question, told.outcome, verdict)


def test_a_reward_is_the_methods_with_further_terms_by_weight() -> None:
    parts = parts_of(episode(found=("m1",), evidence=("m1", "m2")), Verdict(1.0, 0.5))
    assert (parts.form, parts.evidence, parts.retrievals) == (1.0, 0.5, 1)
    assert parts.reward(RewardConfig()) == 1.0
    assert parts.reward(RewardConfig(evidence=0.2, retrieval_cost=0.05)) == pytest.approx(1.05)


def test_what_was_not_answered_is_worth_nothing() -> None:
    for text in ("<think>so", "<think>so</think><answer>green", "green tea"):
        assert parts_of(episode(text), Verdict(1.0, 1.0)).reward(RewardConfig()) == 0.0
