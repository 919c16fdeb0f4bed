"""What a message asks: its question, its options, the words to look for and the time it speaks of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from personavlm.memory_store.queries import Window
from personavlm.platform.engines.rules.answers import asks_what_happened, kinds_asked, subject
from personavlm.platform.engines.rules.dates import window_of
from personavlm.platform.engines.rules.patterns import Patterns
from personavlm.platform.engines.rules.words import STOPWORDS, content_words, sentences, stem, stems, words

_PATTERNS = Patterns(Path(__file__).with_name("questions.yaml"))
_CUES = {
    name: _PATTERNS.one(name)
    for name in (
        *("recall", "wish", "personal", "past", "before", "first", "change", "course"),
        *("several", "list", "when", "about_me", "explain", "now"),
    )
}
_ASKS, _AGREEMENT = _PATTERNS.one("asks"), _PATTERNS.one("agreement")
_RHETORICAL, _SINCE = _PATTERNS.one("rhetorical"), re.compile(r"\bsince\b", re.IGNORECASE)
_BEFORE = re.compile(r"\bbefore (?P<what>[^?.!]+)", re.IGNORECASE)
MY_NAME, TODAY = _PATTERNS.one("my_name"), _PATTERNS.one("today")
_OPTION = re.compile(
    r"(?<![\w(])\(?([a-h])\)[ \t]*(\S.*?)(?=\s*(?<![\w(])\(?[a-h]\)[ \t]|\s*\n\s*\n|\s*\Z)", re.DOTALL
)
_NAME = re.compile(r"(?<=[\w,'\u2019] )[A-Z][\w\u2019'-]+")
_MAX_KEYWORDS = 8


@dataclass(frozen=True, slots=True)
class Question:
    """A message, understood.

    ``asks``: it wants an answer from memory. ``focus`` are the stems that its answer should hold,
    ``keywords`` the same as words, ``cues`` the entries of questions.yaml that it matches, ``kinds`` those of
    answers.yaml. ``subject`` is the one after whom "who is …" asks; ``replaced_by`` are the stems of what
    came after the thing in question ("before …"), ``background`` those of what was said before a wish.
    """

    text: str
    asks: bool
    cues: frozenset[str]
    focus: frozenset[str]
    keywords: tuple[str, ...]
    window: Window
    options: tuple[tuple[str, str], ...] = ()
    english: bool = True
    kinds: frozenset[str] = frozenset()
    subject: str = ""
    replaced_by: frozenset[str] = frozenset()
    about_what_happened: bool = False
    background: frozenset[str] = frozenset()

    @property
    def says_what(self) -> bool:
        """Whether there is anything to look for."""
        bounded = self.window.start or self.window.end
        return bool(self.keywords or self.options or bounded or "about_me" in self.cues)

    @property
    def about_the_past(self) -> bool:
        """Whether it is about how things were rather than how they are."""
        return bool(self.window.end or self.cues & {"past", "before"})


def read_question(text: str, now: datetime, previous: str = "") -> Question:
    """Understand a message at the local time ``now``. ``previous`` is what the user said before it."""
    asked, options = _split_options(text.replace("\u2019", "'"))
    questions = [sentence for sentence in sentences(asked) if _is_question(sentence)]
    statements = [sentence for sentence in sentences(asked) if sentence not in questions]
    cues = frozenset(name for name, pattern in _CUES.items() if pattern.search(asked))
    keywords = _keywords(" ".join(questions) or asked)
    if len(keywords) < 2 and questions:
        # "And what did she say?" leans on what stands before it.
        keywords = tuple(dict.fromkeys((*keywords, *_keywords(" ".join(statements) or previous))))
    kinds = kinds_asked(" ".join(questions) or asked)
    return Question(
        text=asked,
        asks=bool(options) or "recall" in cues or _wants_memory(questions, statements, cues),
        cues=cues,
        focus=frozenset(stem(word) for word in keywords),
        keywords=keywords[:_MAX_KEYWORDS],
        window=_window(asked, now, cues, kinds),
        options=options,
        english=not asked.strip() or bool(STOPWORDS.intersection(words(asked))),
        kinds=kinds,
        subject=subject(asked),
        about_what_happened=asks_what_happened(" ".join(questions) or asked),
        background=stems(" ".join(statements)) if "wish" in cues else frozenset(),
        replaced_by=_replaced_by(asked) if "before" in cues else frozenset(),
    )


def _window(text: str, now: datetime, cues: frozenset[str], kinds: frozenset[str]) -> Window:
    """The time asked for. Habits and tastes were told at any time; a course goes on to this day."""
    if "habit" in kinds or "wish" in cues:
        return Window()
    window = window_of(text, now)
    return Window(window.start, None) if "course" in cues and _SINCE.search(text) else window


def _replaced_by(text: str) -> frozenset[str]:
    named = _BEFORE.search(text)
    return stems(named["what"]) - generic_stems() if named else frozenset()


@cache
def generic_stems() -> frozenset[str]:
    """Stems that say little about what is asked."""
    return frozenset(stem(word) for line in _PATTERNS.each("generic") for word in line.pattern.split("|"))


@cache
def kin() -> dict[str, frozenset[str]]:
    """For a stem, the stems that people may use in its place."""
    found: dict[str, frozenset[str]] = {}
    for line in _PATTERNS.each("kin"):
        group = frozenset(stem(word) for word in line.pattern.split("|"))
        found |= {word: found.get(word, frozenset()) | group for word in group}
    return found


def names_in(text: str) -> tuple[str, ...]:
    """Words with a capital inside a sentence, no days and months: most are names."""
    return tuple(dict.fromkeys(name for name in _NAME.findall(text) if stems(name) - generic_stems()))


def unknown_option(text: str) -> bool:
    """Whether an option says that nothing is known."""
    return bool(_UNKNOWN.search(text))


_UNKNOWN = _PATTERNS.one("unknown_option")


def _split_options(text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The question and its lettered options, "(a) …" or "a) …", if there are at least two in order."""
    found = list(_OPTION.finditer(text))
    letters = "".join(match[1] for match in found)
    if len(found) < 2 or not "abcdefgh".startswith(letters):
        return text, ()
    return text[: found[0].start()].strip(), tuple((match[1], match[2].strip()) for match in found)


def _is_question(sentence: str) -> bool:
    if _ASKS.search(sentence):
        return True
    return sentence.rstrip("\"')\u201d ").endswith(("?", "\uff1f")) and not _AGREEMENT.search(sentence)


def _wants_memory(questions: list[str], statements: list[str], cues: frozenset[str]) -> bool:
    """Every question does, except one behind news that wants no answer ("Isn't it great?")."""
    if not statements or "wish" in cues:
        return bool(questions)
    return any(not _RHETORICAL.search(question) for question in questions)


def _keywords(text: str) -> tuple[str, ...]:
    words = content_words(text)
    telling = tuple(word for word in words if stem(word) not in generic_stems() and not word.isdigit())
    return telling or tuple(word for word in words if len(stems(word)) > 0)
