"""A trajectory whose parts do not agree cannot be made."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from personavlm.jobs.images import ImageFolder
from personavlm.jobs.trajectories import Example, Trajectory, Weighted
from personavlm.memory_store.records import ImageRef
from personavlm.platform.engines.base import Conversation, Segment, TokenSpan

SHA = "ab" * 32
ids = st.lists(st.integers(0, 99), min_size=1, max_size=6).map(tuple)
logprob = st.floats(-20, 0)


@st.composite
def spans(draw: st.DrawFn) -> list[TokenSpan]:
    """What a token engine leaves: a prompt, then sampled and rendered spans in any order."""
    found = [TokenSpan(draw(ids), sampled=False)]
    for sampled in draw(st.lists(st.booleans(), max_size=5)):
        part = draw(ids)
        logprobs = tuple(draw(st.lists(logprob, min_size=len(part), max_size=len(part))))
        version = draw(st.sampled_from(["v1", "v2"]))
        found.append(TokenSpan(part, True, logprobs, version) if sampled else TokenSpan(part, False))
    return found


def conversation(tokens: list[TokenSpan], images: int = 0) -> Conversation:
    refs = (ImageRef(SHA, "image/png", 28, 28),) * images
    return Conversation([Segment("user", "hello", refs)], tokens=tokens)


@given(spans())
def test_a_trajectory_holds_exactly_what_the_spans_hold(tokens: list[TokenSpan]) -> None:
    trajectory = Trajectory.of(conversation(tokens))
    assert len(trajectory) == sum(len(span.ids) for span in tokens)
    at = 0
    for span in tokens:
        part = slice(at, at + len(span.ids))
        assert trajectory.ids[part] == span.ids
        assert set(trajectory.mask[part]) == {span.sampled}
        assert trajectory.logprobs[part] == (span.logprobs if span.sampled else (0.0,) * len(span.ids))
        assert set(trajectory.versions[part]) == {span.version if span.sampled else ""}
        at = part.stop


@given(spans(), st.sampled_from(["ids", "mask", "logprobs", "versions"]))
def test_parts_of_unequal_length_are_refused(tokens: list[TokenSpan], name: str) -> None:
    trajectory = Trajectory.of(conversation(tokens))
    shorter = getattr(trajectory, name)[:-1]
    with pytest.raises(
        ValueError, match="there are no ids" if not shorter and name == "ids" else "came with"
    ):
        replace(trajectory, **{name: shorter})


@given(spans(), st.data())
def test_a_flipped_mask_is_refused(tokens: list[TokenSpan], data: st.DataObject) -> None:
    trajectory = Trajectory.of(conversation(tokens))
    at = data.draw(st.integers(0, len(trajectory) - 1))
    flipped = tuple(value != (i == at) for i, value in enumerate(trajectory.mask))
    with pytest.raises(ValueError, match=r"sampled"):
        replace(trajectory, mask=flipped)


@given(spans(), st.sampled_from([math.nan, math.inf, -math.inf]))
def test_a_log_probability_that_is_no_number_is_refused(tokens: list[TokenSpan], value: float) -> None:
    trajectory = Trajectory.of(conversation(tokens))
    assume(any(trajectory.mask))
    at = trajectory.mask.index(True)
    with pytest.raises(ValueError, match="log-probability"):
        replace(trajectory, logprobs=(*trajectory.logprobs[:at], value, *trajectory.logprobs[at + 1 :]))


def test_sampled_ids_without_log_probabilities_are_refused() -> None:
    tokens = [TokenSpan((1, 2), False), TokenSpan((3,), True, version="v1")]
    with pytest.raises(ValueError, match="logprobs=True"):
        Trajectory.of(conversation(tokens))


def test_images_are_named_by_content() -> None:
    trajectory = Trajectory.of(conversation([TokenSpan((1, 2), False)], images=2), truncated=True)
    assert trajectory.images == (SHA, SHA) and trajectory.truncated
    with pytest.raises(ValueError, match="SHA-256"):
        replace(trajectory, images=("cat.png",))


def test_nothing_is_learned_of_a_first_id() -> None:
    with pytest.raises(ValueError, match="nothing is before it"):
        Example((1, 2), (True, True))
    assert len(Example((1, 2), (False, True))) == 2


def test_an_advantage_is_a_number() -> None:
    trajectory = Trajectory((1, 2), (False, True), (0.0, -1.0), ("", "v1"))
    with pytest.raises(ValueError, match="drop rows"):
        Weighted(trajectory, math.nan)


@given(datas=st.lists(st.binary(max_size=64)))
def test_an_image_folder_returns_what_was_added(
    datas: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = ImageFolder(tmp_path_factory.mktemp("images"))
    names = [folder.add(data) for data in (*datas, *datas)]
    assert [folder.read(name) for name in names] == [*datas, *datas]
    assert len(list(folder.path.iterdir())) == len(set(datas))


def test_an_image_folder_reads_nothing_else(tmp_path: Path) -> None:
    folder = ImageFolder(tmp_path)
    for name in ("../secret", SHA):
        assert name not in folder
        with pytest.raises(LookupError):
            folder.read(name)
