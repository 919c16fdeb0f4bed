"""The two who talk: their names in a query, and whose words it asks for."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from personavlm.memory_store.retrieval.lexical import CJK


class Speaker(IntEnum):
    """Who said a text. A memory is said by nobody."""

    NOBODY = 0
    USER = 1
    ASSISTANT = 2


@dataclass(frozen=True, slots=True)
class Participants:
    """Names of the user and of the assistant, each empty where unknown."""

    user: str = ""
    assistant: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The whole names, then their parts: Ana Sousa is called Ana."""
        whole = [name for name in (self.user, self.assistant) if name]
        return tuple(dict.fromkeys([*whole, *(part for name in whole for part in _parts(name))]))


_SAID = r"said|say|told|tell|suggest\w*|recommend\w*|advis\w*|mention\w*|explain\w*|propos\w*|give|gave"
_ASKS_ASSISTANT = re.compile(rf"\byou(?:r|rs)?\b.*\b(?:{_SAID}|suggestion|advice)\b|\byour (?!own\b)", re.I)
_FIRST_PERSON = re.compile(r"\b(?:i|me|my|mine|myself|i'm|i've|i'd)\b", re.I)
_CHINESE_ASKS_ASSISTANT = re.compile("你.{0,6}(?:说|推荐|建议|告诉|提到|提过|解释)")
_CHINESE_FIRST_PERSON = re.compile("[我咱]")


def without_names(text: str, names: Sequence[str]) -> str:
    """The text without these names and their possessive endings; unchanged if nothing else is in it."""
    kept = text
    for name in sorted(filter(None, names), key=len, reverse=True):
        kept = re.sub(rf"{_whole(name)}(?:['\u2019]s\b)?", " ", kept, flags=re.IGNORECASE)
    return " ".join(kept.split()) if re.search(r"\w", kept) else text


def asked_of(text: str, participants: Participants) -> Speaker:
    """Whose words a query asks for: the one whom it names, else the user for "I", the assistant for what
    "you" said or suggested. NOBODY where it tells of both or of neither."""
    user, assistant = (_named(text, name) for name in (participants.user, participants.assistant))
    if user != assistant:
        return Speaker.USER if user else Speaker.ASSISTANT
    if user:
        return Speaker.NOBODY
    if _ASKS_ASSISTANT.search(text) or _CHINESE_ASKS_ASSISTANT.search(text):
        return Speaker.ASSISTANT
    first = _FIRST_PERSON.search(text) or _CHINESE_FIRST_PERSON.search(text)
    return Speaker.USER if first else Speaker.NOBODY


def _named(text: str, name: str) -> bool:
    return any(re.search(_whole(each), text, re.IGNORECASE) for each in (name, *_parts(name)) if each)


def _parts(name: str) -> list[str]:
    return [part for part in name.split() if len(part) > 2] if " " in name else []


def _whole(name: str) -> str:
    return re.escape(name) if re.search(f"[{CJK}]", name) else rf"(?<!\w){re.escape(name)}(?!\w)"
