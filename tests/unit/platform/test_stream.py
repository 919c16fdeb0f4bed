"""However a completion is cut into pieces, the same words come out, and never a piece of a tag."""

from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from personavlm.platform.agent.grammar import Answer, parse
from personavlm.platform.agent.stream import Delta, StepStream
from personavlm.platform.agent.types import AnswerDelta, ThinkingDelta

TAGS = [f"<{slash}{name}>" for slash in ("", "/") for name in ("think", "answer", "retrieve", "ANSWER")]
NEARLY = ["<an\N{LATIN SMALL LETTER LONG S}wer>", "</thin\N{KELVIN SIGN}>", "<", "</", "ans"]
PIECES = [*TAGS, *NEARLY, "\n", " ", '{"keywords": "tea"}', "tea"]
completions = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), max_size=12).map("".join)


def chunked(text: str, cuts: list[int]) -> list[str]:
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


def joined(deltas: list[Delta], kind: type[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, kind))


@settings(max_examples=500)
@given(completions, st.lists(st.integers(0, 60)), st.booleans())
@example("<think>a</think><answer>b <retrieve>c</retrieve> </answer>d", [1, 9, 20, 30, 40], False)
@example("<answer>a</answer><retrieve>{}</retrieve>", [3], True)
def test_chunks_do_not_matter(text: str, cuts: list[int], accept_plain: bool) -> None:
    stream = StepStream("query", accept_plain=accept_plain)
    deltas = [delta for chunk in chunked(text, cuts) for delta in stream.feed(chunk)]
    step, last = stream.finish()
    deltas.extend(last)
    assert step == parse(text[: stream.cut], "query", accept_plain=accept_plain)
    assert joined(deltas, AnswerDelta) == (step.action.text if isinstance(step.action, Answer) else "")
    assert joined(deltas, ThinkingDelta) == step.thinking
    assert all(delta.text for delta in deltas)


def test_words_come_out_as_they_arrive_and_tags_do_not() -> None:
    stream = StepStream()
    assert stream.feed("<thi") == ()
    assert stream.feed("nk>tea ") == (ThinkingDelta("tea"),)
    assert stream.feed("or milk</think><answer> Te") == (ThinkingDelta(" or milk"), AnswerDelta("Te"))
    assert stream.feed("a <") == (AnswerDelta("a"),)
    assert stream.feed("3</answer") == (AnswerDelta(" <3"),)
    assert stream.feed("><answer>more</answer>") == ()
    assert stream.finish()[0].action == Answer("Tea <3")


def test_the_first_complete_action_ends_the_reading() -> None:
    stream = StepStream()
    text = "<think>t</think><answer>Tea.</answer>"
    stream.feed(text + "<answer>Coffee.</answer>")
    assert stream.cut == len(text)
