"""The tokenizer of words and the gym's prompt pack."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from personavlm.jobs.gym.pack import FOLDER
from personavlm.jobs.gym.teacher import search_body
from personavlm.jobs.gym.tokenizer import SPECIAL
from personavlm.jobs.gym.words import MONTHS, vocabulary, window_of
from personavlm.platform.agent.grammar import Answer, Retrieve, parse
from personavlm.platform.engines.checkpoint import Checkpoint
from personavlm.platform.prompts.checking import read_pack

words = st.lists(st.sampled_from(vocabulary()), max_size=20).map(" ".join)


def ids(checkpoint: Checkpoint, text: str) -> list[int]:
    encoded: list[int] = checkpoint.tokenizer.encode(text, add_special_tokens=False).ids
    return encoded


@given(words, words, st.sampled_from((" ", "\n", " \n\n")))
def test_pieces_encode_as_the_whole(checkpoint: Checkpoint, first: str, second: str, between: str) -> None:
    assert ids(checkpoint, first) + ids(checkpoint, second) == ids(checkpoint, first + between + second)


@given(words)
def test_what_is_encoded_decodes_to_the_same_words(checkpoint: Checkpoint, text: str) -> None:
    assert checkpoint.tokenizer.decode(ids(checkpoint, text)) == text


@given(st.sampled_from(SPECIAL))
def test_special_tokens_in_a_text_are_unknown_words(checkpoint: Checkpoint, token: str) -> None:
    assert ids(checkpoint, f"me {token} tea")[1] == checkpoint.tokenizer.token_to_id("<unk>")


@given(words, st.none() | st.integers(0, len(MONTHS) - 1))
def test_a_search_reads_back(checkpoint: Checkpoint, keywords: str, month: int | None) -> None:
    said = (word for word in keywords.split() if word.isalpha() and word != "none")  # alone it means no words
    keywords = " ".join(said) or "goal"
    text = f"<think> need </think> <retrieve> {search_body(keywords, month)} </retrieve>"
    step = parse(checkpoint.tokenizer.decode(ids(checkpoint, text)))
    assert isinstance(step.action, Retrieve)
    assert (step.thinking, step.action.keywords, step.repaired) == ("need", keywords, "")
    if month is None:
        assert step.action.window.start is None and step.action.window.end is None
    else:
        shown = tuple(
            f"{bound:%Y-%m-%d}" for bound in (step.action.window.start, step.action.window.end) if bound
        )
        assert shown == window_of(month)


def test_an_answer_reads_back(checkpoint: Checkpoint) -> None:
    text = checkpoint.tokenizer.decode(ids(checkpoint, "<think> drink tea </think> <answer> tea </answer>"))
    assert parse(text).action == Answer("tea")


def test_the_pack_has_no_problem() -> None:
    read_pack(FOLDER, "transformers")
