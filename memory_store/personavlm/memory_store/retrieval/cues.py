"""What kind of answer a query asks for, and which texts hold such a thing."""

import re
import unicodedata
from enum import IntFlag

from personavlm.memory_store.retrieval.dates import MONTHS, WEEKDAYS


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
_SURE_MONTHS = "|".join(month for month in MONTHS if month != "may")
_TIME = re.compile(
    rf"\b(?:{_TIMES}|{_SURE_MONTHS}|{'|'.join(WEEKDAYS)})s?\b|\b(?:19|20)\d\d\b"
    "|[昨今明前后]天|[上下这]个?[周月]|[去今明前]年|\\d+[年月日号点]|星期|周[一二三四五六日末]|天前",
    re.IGNORECASE,
)
_COUNTED = "[两二三四五六七八九十百千万][个次天年月岁块元只本]"
_NUMBER = re.compile(rf"\d|\b(?:{_NUMBER_WORDS})\b|{_COUNTED}", re.IGNORECASE)
# A capital that does not merely begin the sentence, or a thing in quotes.
_NAME = re.compile(r"(?<=[a-z,;] )(?!I\b)[A-Z][a-z]+|[\"\u201c][A-Z\u4e00-\u9fff]|[《「『]")

# Quotes, brackets and emoji may follow the mark.
_ENDS_ASKING = re.compile(r"\?[\s\"'\u201d)\ufe0f\u2600-\u27bf\U0001f300-\U0001faff]*\Z")

_ASKS_TIME = (
    r"\bwhen\b|\bwhat (?:date|day|month|year|time)\b|\bhow long ago\b|何时|什么时候|哪[天年月]|几[月号点]"
)
_ASKS_NUMBER = r"\bhow (?:many|much|often|long|old|far|big|tall)\b|多少|几[个次天年岁只本]|多[久长大远高]"
_ASKS_NAME = (
    r"\b(?:who|where|whose|which)\b|\bwhat(?: is|'s| was)? (?:the )?(?:name|title)"
    r"|谁|哪里|哪儿|哪[个家座部本]|叫什么"
)
_ASKS = (
    (Cue.TIME, re.compile(_ASKS_TIME, re.IGNORECASE)),
    (Cue.NUMBER, re.compile(_ASKS_NUMBER, re.IGNORECASE)),
    (Cue.NAME, re.compile(_ASKS_NAME, re.IGNORECASE)),
)


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
    return _ENDS_ASKING.search(unicodedata.normalize("NFKC", text)) is not None
