"""What kind of answer a query asks for, and which texts hold such a thing."""

import re
import unicodedata
from enum import IntFlag

from personavlm.memory_store.retrieval.dates import MONTHS, WEEKDAYS
from personavlm.memory_store.retrieval.lexical import CJK


class Cue(IntFlag):
    """What a text is or holds."""

    NONE = 0
    TIME = 1
    NUMBER = 2
    NAME = 4
    QUESTION = 8


_NUMBER_WORDS = (
    "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|hundred|once|twice|dozen"
)
_TIMES = "yesterday|today|tonight|tomorrow|ago|week|weekend|month|year|morning|evening|night|last|next|since"
_TIME = re.compile(
    rf"\b(?:{_TIMES}|{'|'.join(m for m in MONTHS if m != 'may')}|{'|'.join(WEEKDAYS)})s?\b|\b(?:19|20)\d\d\b"
    "|[昨今明前后]天|[上下这]个?[周月]|[去今明前]年|\\d+[年月日号点]|星期|周[一二三四五六日末]|天前",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    rf"\d|\b(?:{_NUMBER_WORDS})\b|[两二三四五六七八九十百千万][个次天年月岁块元只本]", re.IGNORECASE
)
# A capital that does not merely begin the sentence, or a thing in quotes.
_NAME = re.compile(r"(?<=[a-z,;] )(?!I\b)[A-Z][a-z]+|[\"\u201c][A-Z\u4e00-\u9fff]|[《「『]")
_SENTENCE_END = re.compile(r"[.!?\u3002\uff01\uff1f\u2026]+[\"'\u201d)]*\s*")

_ASKS = (
    (Cue.TIME, re.compile(r"\bwhen\b|\bwhat (?:date|day|month|year|time)\b|\bhow long ago\b|何时|什么时候|哪[天年月]|几[月号点]", re.I)),
    (Cue.NUMBER, re.compile(r"\bhow (?:many|much|often|long|old|far|big|tall)\b|多少|几[个次天年岁只本]|多[久长大远高]", re.I)),
    (Cue.NAME, re.compile(r"\b(?:who|where|whose)\b|\bwhich\b|\bwhat(?: is|'s| was)? (?:the )?(?:name|title)|谁|哪里|哪儿|哪[个家座部本]|叫什么", re.I)),
)  # fmt: skip


def cues_of(text: str) -> Cue:
    """What a text is or holds."""
    found = Cue.NONE
    if _TIME.search(text):
        found |= Cue.TIME
    if _NUMBER.search(text):
        found |= Cue.NUMBER
    if _NAME.search(text):
        found |= Cue.NAME
    if is_question(text):
        found |= Cue.QUESTION
    return found


def asked_for(query: str) -> Cue:
    """What the answer to a query holds."""
    found = Cue.NONE
    for cue, pattern in _ASKS:
        if pattern.search(query):
            found |= cue
    return found


def is_question(text: str) -> bool:
    """Whether a text ends by asking."""
    return unicodedata.normalize("NFKC", text.rstrip(" \n\"'\u201d)\U0001f300-\U0001faff")).endswith("?")


def last_question(text: str) -> str:
    """The last sentence of a text that asks; empty if none does."""
    begin = 0
    question = ""
    for end in _SENTENCE_END.finditer(text):
        if "?" in unicodedata.normalize("NFKC", end.group()):
            question = text[begin : end.end()].strip()
        begin = end.end()
    return question


def entities(query: str) -> list[str]:
    """Names, numbers and quoted things in a query: what an answer seldom paraphrases."""
    quoted = re.findall(r"[\"\u201c\u300a\u300c]([^\"\u201d\u300b\u300d]+)[\"\u201d\u300b\u300d]", query)
    capitals = re.findall(rf"(?<=[^.?!\s] )(?!I\b)[A-Z][\w-]+|\b\d[\d.,:]*\b|[A-Za-z]+(?=[{CJK}])", query)
    return quoted + capitals
