"""What of a model's text can be read as proposals, and what is dropped and why."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personavlm.memory_store.records import TRAITS
from personavlm.platform.updates.operations import (
    AddProposal,
    MalformedOutput,
    read_object,
    read_operations,
    read_scores,
)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda body: body,
        lambda body: f"```json\n{body}\n```",
        lambda body: f"Sure! Here {{it}} is:\n{body}\nAnything else?",
        lambda body: f'<think>maybe {{"a": 1}}</think>{body}',
    ],
)
def test_the_object_is_found_in_whatever_surrounds_it(wrap: Callable[[str], str]) -> None:
    body = '{"operations": [{"op": "add", "text": "Has a {curly} dog.", "evidence": ["t1"]}]}'
    proposals, dropped = read_operations(wrap(body))
    assert [proposal.op for proposal in proposals] == ["add"]
    assert dropped == []


@pytest.mark.parametrize(
    "text", ["", "nothing to keep", "[]", '{"operations": 3}', '{"operations": [{"op": "add"', "{" * 100_000]
)
def test_text_without_the_object_is_malformed(text: str) -> None:
    with pytest.raises(MalformedOutput):
        read_operations(text)


@given(st.text())
def test_reading_raises_nothing_but_malformed(text: str) -> None:
    for read in (read_operations, lambda value: read_scores(value, TRAITS), lambda value: read_object(value)):
        try:
            read(text)
        except MalformedOutput:
            continue


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["op", "text", "id", "evidence", "key", "x"]), inner, max_size=5)
    ),
    max_leaves=8,
)


@given(st.lists(JSON, max_size=4))
def test_every_item_is_either_read_or_dropped_with_a_reason(items: list[object]) -> None:
    proposals, dropped = read_operations(json.dumps({"operations": items}))
    assert len(proposals) + len(dropped) == len(items)
    assert all(dropped)


def test_invalid_items_do_not_take_valid_ones_with_them() -> None:
    proposals, dropped = read_operations(
        json.dumps(
            {
                "operations": [
                    {"op": "forget", "id": "m1"},
                    {"op": "add", "text": "  "},
                    {"op": "delete", "id": "m1"},
                    "add something",
                    {
                        "op": "add",
                        "text": "I like tea.",
                        "keywords": "tea, drink",
                        "evidence": None,
                        "extra": 1,
                    },
                ]
            }
        )
    )
    assert len(dropped) == 4
    [kept] = proposals
    assert isinstance(kept, AddProposal)
    assert kept.keywords == ("tea", "drink")
    assert kept.evidence == ()


def test_scores() -> None:
    text = (
        '{"openness": 4, "conscientiousness": 3.0, "extraversion": 9, "agreeableness": 1, "neuroticism": 0}'
    )
    assert read_scores(text, TRAITS) == (4, 3, 3, 1, 3)
    for bad in ('"4"', "3.5", "true", "null", "NaN", "Infinity"):
        with pytest.raises(MalformedOutput):
            read_scores(text.replace("4", bad, 1), TRAITS)
    with pytest.raises(MalformedOutput):
        read_scores('{"openness": 4}', TRAITS)
