"""Episodes by lexical cohesion: a topic ends where the next turns share no word with it.

The summary quotes the user's most central sentences; nothing is paraphrased.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from personavlm.platform.engines.base import Conversation
from personavlm.platform.engines.rules.absolute_dates import local_time, with_absolute_dates
from personavlm.platform.engines.rules.statements import read_statements, trimmed, without_filler
from personavlm.platform.engines.rules.words import content_words, sentences, stem, stems
from personavlm.platform.prompts.render import read_rows

Row = dict[str, Any]

SHORT_SESSION = 3  # turns up to which a session is one topic
SHORTEST_TOPIC = 2
SUMMARY_SENTENCES = 3
SUMMARY_CHARS = 500
MAX_KEYWORDS = 8
STATEMENT_BONUS = 1.5  # a statement is more worth quoting than a question of the same words


def respond(conversation: Conversation) -> str:
    """One ``add`` per topic as the JSON object that the prompt asks for."""
    turns = read_rows(conversation.segments[0].text)["turns"]
    session = Counter(word for turn in turns for word in content_words(_said(turn)))
    operations = [
        {
            "op": "add",
            "text": _summary(topic),
            "keywords": _keywords(topic, session),
            "evidence": [turn["id"] for turn in topic],
        }
        for topic in _topics(turns)
    ]
    return json.dumps({"operations": operations}, ensure_ascii=False)


def _topics(turns: Sequence[Row]) -> list[list[Row]]:
    """Cut before a turn that shares no word with the topic so far, if the turn after it does not either."""
    if len(turns) <= SHORT_SESSION:
        return [list(turns)]
    meant = _distinctive([stems(f"{turn['user']} {turn['assistant']}") for turn in turns])
    topics = [[0]]
    for i in range(1, len(turns)):
        topic = set().union(*(meant[j] for j in topics[-1]))
        ahead = meant[i] | (meant[i + 1] if i + 1 < len(turns) else set())
        long_enough = len(topics[-1]) >= SHORTEST_TOPIC and len(turns) - i >= SHORTEST_TOPIC
        if long_enough and meant[i] and not topic & ahead:
            topics.append([i])
        else:
            topics[-1].append(i)
    return [[turns[i] for i in topic] for topic in topics]


def _distinctive(meant: Sequence[frozenset[str]]) -> list[set[str]]:
    """Words that run through most of a session bind none of its topics."""
    count = Counter(word for words in meant for word in words)
    return [{word for word in words if count[word] * 2 <= len(meant)} for words in meant]


def _summary(topic: Sequence[Row]) -> str:
    """The user's most central sentences in their order, with absolute dates."""
    weight = Counter(word for turn in topic for word in stems(turn["user"]))
    candidates = [
        (_centrality(sentence, weight), with_absolute_dates(trimmed(sentence), local_time(turn["time"])))
        for turn in topic
        for sentence in map(without_filler, sentences(turn["user"]))
        if content_words(sentence)
    ]
    best = sorted(range(len(candidates)), key=lambda i: -candidates[i][0])[:SUMMARY_SENTENCES]
    quoted = " ".join(candidates[i][1] for i in sorted(best))
    return quoted[:SUMMARY_CHARS] or _without_words(topic)


def _centrality(sentence: str, weight: Counter[str]) -> float:
    own = stems(sentence)
    bonus = STATEMENT_BONUS if read_statements(sentence) else 1.0
    return float(bonus * sum(weight[word] for word in own) / (len(own) + 2) ** 0.5)


def _without_words(topic: Sequence[Row]) -> str:
    captions = "; ".join(caption for turn in topic for caption in turn.get("captions", ()))
    if captions:
        return f"Pictures: {captions}"[:SUMMARY_CHARS]
    replies = (turn["assistant"] for turn in topic)
    said = [turn["user"] for turn in topic if turn["user"].strip()]
    return next(iter((*said, *replies)), "")[:SUMMARY_CHARS] or "Pictures without words."


def _keywords(topic: Sequence[Row], session: Counter[str]) -> list[str]:
    """Words of the user that are frequent here and rare in the rest of the session."""
    here = Counter(word for turn in topic for word in content_words(_said(turn)))
    ranked = sorted(
        (word for word in here if len(word) > 1), key=lambda word: -(here[word] + here[word] / session[word])
    )
    return _one_per_stem(ranked)[:MAX_KEYWORDS]


def _one_per_stem(ranked: Iterable[str]) -> list[str]:
    return list({stem(word): word for word in reversed(list(ranked))}.values())[::-1]


def _said(turn: Row) -> str:
    return " ".join((turn["user"], *turn.get("captions", ())))
