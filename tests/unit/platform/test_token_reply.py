"""Where a reply of ids ends, and which of them are kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personavlm.platform.engines.base import Sampling, TokenSpan
from personavlm.platform.engines.token_reply import TokenReply, first_end
from tests.tiny_tokenizer import tiny_tokenizer

TOKENIZER = tiny_tokenizer()
END = TOKENIZER.token_to_id("<|im_end|>") or 0
STOP = ("</answer>", "</retrieve>")


def ids_of(text: str) -> list[int]:
    ids: list[int] = TOKENIZER.encode(text, add_special_tokens=False).ids
    return ids


def read(ids: list[int], sampling: Sampling) -> tuple[str, TokenReply]:
    reply = TokenReply(TOKENIZER, END, sampling)
    text = "".join(reply.feed(token, -0.5, "1") for token in ids)
    reply.close()
    return text, reply


def kept(reply: TokenReply) -> list[int]:
    return [i for span in reply.spans() for i in span.ids]


def test_the_end_of_the_message_behind_a_stop_string_is_kept() -> None:
    ids = [*ids_of("<answer>Tea.</answer>"), END]
    text, reply = read(ids, Sampling(stop=STOP))
    assert text == "<answer>Tea.</answer>" and kept(reply) == ids and reply.finish_reason == "stop"


def test_what_else_comes_behind_a_stop_string_is_forgotten() -> None:
    ids = ids_of("<answer>Tea.</answer>")
    text, reply = read([*ids, *ids_of(" And cake."), END], Sampling(stop=STOP))
    assert text == "<answer>Tea.</answer>" and kept(reply) == ids and reply.finish_reason == "stop"


def test_a_finished_answer_at_the_limit_is_finished() -> None:
    ids = ids_of("<answer>Tea.</answer>")
    text, reply = read(ids, Sampling(max_tokens=len(ids), stop=STOP))
    assert text.endswith("</answer>") and reply.finish_reason == "stop"


def test_an_unfinished_one_was_cut() -> None:
    ids = ids_of("<answer>Tea with milk")
    text, reply = read([*ids, *ids], Sampling(max_tokens=len(ids), stop=STOP))
    assert text == "<answer>Tea with milk" and reply.finish_reason == "length" and kept(reply) == ids


def test_ids_of_two_versions_are_two_spans() -> None:
    reply = TokenReply(TOKENIZER, END, Sampling())
    for token, version in zip(ids_of("a b c"), ["1", "1", "2", "2", "2"], strict=False):
        reply.feed(token, -1.0, version)
    assert [span.version for span in reply.spans()] == ["1", "2"]
    assert all(span.sampled and len(span.logprobs) == len(span.ids) for span in reply.spans())


def test_log_probabilities_come_one_for_each_id() -> None:
    with pytest.raises(ValueError, match="2 ids came with 1"):
        TokenSpan((1, 2), True, (-0.5,))


@given(st.text(), st.integers(1, 50))
def test_the_text_is_that_of_the_ids_kept(text: str, limit: int) -> None:
    told, reply = read([*ids_of(text), END], Sampling(max_tokens=limit, stop=STOP))
    decoded: str = TOKENIZER.decode(kept(reply))
    stop = first_end(decoded, STOP)
    whole = decoded[:stop]
    assert whole.startswith(told)  # a character whose bytes are not all there yet stays out
    assert told == whole or whole[len(told) :].strip("\ufffd") == ""


@given(st.text(alphabet="<>/answerti ", max_size=40))
def test_nothing_behind_the_first_stop_string_is_told(text: str) -> None:
    told, reply = read([*ids_of(text), END], Sampling(stop=STOP))
    stop = first_end(text, STOP)
    assert told == text[:stop]
    assert reply.finish_reason == "stop"
