"""What a user states about themselves: sentences worth remembering, and what kind of statement each is.

Patterns over English sentences. A sentence that matches none is not a statement; questions, wishes
towards the assistant and remarks on what it said are not either.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from personavlm.platform.engines.rules.absolute_dates import has_date
from personavlm.platform.engines.rules.patterns import statement_patterns
from personavlm.platform.engines.rules.words import content_words, sentences

Category = Literal["directive", "fact", "preference", "concept"]

MAX_CHARS = 320  # longer sentences are cut; a memory is a sentence, not a page

_PATTERNS = statement_patterns()
_FILLER = _PATTERNS.one("filler", r"^(?:", r")+")
_REMEMBER = _PATTERNS.one("remember")
_STYLE = _PATTERNS.one("style")
_PASSING = _PATTERNS.one("passing")
_CHANGE_CUE = _PATTERNS.one("change_cue")
_CHANGES = _PATTERNS.each("change")
_LIKES = _PATTERNS.one("likes")
_HABIT = _PATTERNS.one("habit")
_FACT = _PATTERNS.one("fact")
_FIRST_PERSON = _PATTERNS.one("first_person")
_TAG_QUESTION = _PATTERNS.one("tag_question")
_DEICTIC = _PATTERNS.one("deictic")
_DANGLING = _PATTERNS.one("dangling")
_OBJECT_PRONOUN = _PATTERNS.one("object_pronoun")
NEGATIVE = _PATTERNS.one("negative")
_NAMED = re.compile(r"\b(?:called|named)\b", re.IGNORECASE)


FEWEST_WORDS: dict[Category, int] = {"fact": 2, "preference": 1, "directive": 1, "concept": 1}
"""Words with a meaning of their own below which a statement says nothing."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing that the user stated. ``given_up`` is what it says is no longer so, in their words."""

    text: str
    category: Category
    changed: bool = False
    given_up: str = ""
    taken_up: str = ""
    negative: bool = False
    deictic: bool = False


def read_statements(text: str, names: frozenset[str] = frozenset()) -> tuple[Statement, ...]:
    """The statements of a message in order.

    ``names`` are people and things known already: what is said of them is worth remembering too.
    """
    found: list[Statement] = []
    before = ""
    for raw in sentences(text.replace("\u2019", "'")):
        sentence = without_question(without_filler(raw))
        if statement := _read(sentence, before, names):
            if before and found and statement.text.startswith(before):
                found.pop()  # the sentence that this one leans on is part of it now
            found.append(statement)
        before = sentence if not sentence.endswith("?") else ""
    return tuple(found)


def without_filler(sentence: str) -> str:
    """The sentence without a beginning that says nothing ("oh well, by the way, …")."""
    return _FILLER.sub("", sentence).strip()


def without_question(sentence: str) -> str:
    """The sentence without a question that hangs on its end; a mere question stays as it is."""
    return _TAG_QUESTION.sub("", sentence)


def is_style(text: str) -> bool:
    """Whether a directive says how the assistant should be, rather than what it should remember."""
    return bool(_STYLE.search(text))


def is_deictic(sentence: str) -> bool:
    """Whether a sentence points at something that it does not describe, as one does beside a picture."""
    return bool(_DEICTIC.search(sentence))


def _read(sentence: str, before: str, names: frozenset[str]) -> Statement | None:
    if asked := _REMEMBER.match(sentence):
        return _directive(asked["what"].rstrip("?"))
    if sentence.endswith("?") or len(content_words(sentence)) < 1:
        return None
    if _STYLE.search(sentence):
        return Statement(trimmed(sentence), "directive")
    category = _category(sentence) or ("fact" if names.intersection(sentence.split()) else None)
    if category is None or _PASSING.search(sentence):
        return None
    whole = with_what_it_leans_on(sentence, before)
    hangs = whole == sentence and bool(_OBJECT_PRONOUN.search(sentence))  # "I love it", and nobody said what
    if len(content_words(whole)) < FEWEST_WORDS[category] + 2 * hangs:
        return None
    old, new = _change(sentence)
    return Statement(
        trimmed(whole),
        category,
        changed=bool(old) or bool(_CHANGE_CUE.search(sentence) and category == "preference"),
        given_up=old,
        taken_up=new,
        negative=bool(NEGATIVE.search(sentence)),
        deictic=is_deictic(whole),
    )


def with_what_it_leans_on(sentence: str, before: str) -> str:
    """A sentence that says "it" or "one" together with the one before it, which says what that is."""
    leans = _DANGLING.match(sentence) or _OBJECT_PRONOUN.search(sentence)
    return f"{before} {sentence}" if leans and before else sentence


def _directive(what: str) -> Statement | None:
    """What the user asked to remember: the statement in it keeps its own kind where it has one."""
    if not content_words(what):
        return None
    text = trimmed(what[0].upper() + what[1:])
    inner = _category(text)
    changed = bool(_CHANGE_CUE.search(text))
    return Statement(text, inner or "directive", changed=changed, negative=bool(NEGATIVE.search(text)))


def _category(sentence: str) -> Category | None:
    mine = bool(_FIRST_PERSON.search(sentence))
    if _LIKES.search(sentence) and (mine or sentence.lower().startswith(("love", "hate", "can't stand"))):
        return "preference"
    if mine and (_HABIT.search(sentence) or (_CHANGE_CUE.search(sentence) and _change(sentence)[0])):
        return "preference"
    if _FACT.search(sentence) or (mine and has_date(sentence)):
        return "fact"
    return "fact" if _DANGLING.match(sentence) and _NAMED.search(sentence) else None


def _change(sentence: str) -> tuple[str, str]:
    """What was given up and what took its place, in the user's words; either may be empty."""
    if not _CHANGE_CUE.search(sentence) and " instead" not in sentence:
        return "", ""
    for pattern in _CHANGES:
        if found := pattern.search(sentence):
            groups = found.groupdict()
            return (groups.get("old") or "").strip(" .!,"), (groups.get("new") or "").strip(" .!,")
    return "", ""


def trimmed(text: str) -> str:
    """A sentence of bearable length that ends like one."""
    if len(text) > MAX_CHARS:
        cut = max(text.rfind(mark, 80, MAX_CHARS) for mark in (", ", "; ", " "))
        text = text[: cut if cut > 0 else MAX_CHARS].rstrip(",; ")
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".!?\u2026" else text + "."
