"""What is looked for: each view of the query (the policy's keywords, the user's own words), encoded."""

from collections.abc import Sequence
from dataclasses import dataclass

from personavlm.memory_store.encoder import EncodedText, TextEncoder, encode_texts
from personavlm.memory_store.retrieval.cues import Cue, asked_for
from personavlm.memory_store.retrieval.dates import Days, days_in, weekdays_in
from personavlm.memory_store.retrieval.names import Participants, Speaker, asked_of, without_names

NOBODY = Participants()


@dataclass(frozen=True, slots=True)
class QueryView:
    """One text of the query and what can be read from it. ``encoded`` is None for an empty text.

    ``words`` is the text without the participants' names; ``days`` are spans that it names, relative
    ones counted from the day of asking.
    """

    text: str
    words: str
    encoded: EncodedText | None
    speaker: Speaker
    asked_for: Cue
    days: tuple[Days, ...]
    weekdays: frozenset[int]


def query_views(
    texts: Sequence[str], encoder: TextEncoder, participants: Participants = NOBODY, today: int = 0
) -> tuple[QueryView, ...]:
    """The views that hold anything, encoded in one batch.

    The participants' names are taken out of what is encoded and counted: a sentence encoder otherwise
    ranks texts by whom they name. Whose words are meant is read from them apart. ``today`` is the day of
    asking in days since 1970-01-01.
    """
    texts = tuple(dict.fromkeys(text for text in texts if text.strip()))
    words = [without_names(text, participants.names) for text in texts]
    encoded = encode_texts(encoder, words) if words else ()
    return tuple(
        QueryView(
            text=text,
            words=kept,
            encoded=vectors,
            speaker=asked_of(text, participants),
            asked_for=asked_for(text),
            days=tuple(days_in(text, today)),
            weekdays=weekdays_in(text),
        )
        for text, kept, vectors in zip(texts, words, encoded, strict=True)
    )
