"""Words of what is erased, to look for in the files afterwards, and whether somebody else said them too."""

import re
from collections.abc import Iterator, Mapping

import pyarrow as pa

from personavlm.memory_store.lifecycle.erasure import for_table
from personavlm.memory_store.storage.shard import Shard
from personavlm.memory_store.storage.sql import quoted
from personavlm.memory_store.storage.tables import RECORDS

SEARCHED = (
    ("turns", "user_text"),
    ("turns", "assistant_text"),
    ("core", "text"),
    ("semantic", "text"),
    ("episodic", "text"),
    ("procedural", "text"),
)
NEEDLES, SHORTEST, LONGEST = 32, 24, 80
_ESCAPED = re.compile(r'["\\\x00-\x1f]+')  # stand otherwise in the journal, which holds JSON


def needles_of(shard: Shard, conditions: Mapping[str, str]) -> tuple[bytes, ...]:
    """Passages from texts of what goes by these conditions: to look for ids alone would prove little.

    They are spread over the time of writing, as a file may be left that holds only some of it.
    """
    passages: dict[str, int] = {}
    for name, column in SEARCHED:
        condition = for_table(conditions, name)
        if condition:
            rows = shard.tables[name].find(condition, [column, "seq"])
            texts = zip(rows[column].to_pylist(), rows["seq"].to_pylist(), strict=True)
            passages.update((_passage(text), seq) for text, seq in texts if text)
    written = sorted(text for text in passages if len(text) >= SHORTEST)
    written.sort(key=passages.__getitem__)
    apart = -(-len(written) // NEEDLES) or 1
    return tuple(text.encode()[:LONGEST] for text in written[::apart])


def _passage(text: str) -> str:
    """The longest part of a text that the journal and the tables hold as the same bytes."""
    return max(_ESCAPED.split(text), key=len)


def said(shard: Shard, needle: bytes) -> bool:
    """Whether a row holds these words, on its way into a table (looked at first) or in one."""
    if any(needle in write.payload for write in shard.writer.unstored()):
        return True
    words = needle.decode(errors="ignore")
    return any(_said_in(shard, name, schema, words) for name, schema in RECORDS.items())


def _said_in(shard: Shard, name: str, schema: pa.Schema, words: str) -> bool:
    table = shard.tables[name]
    holds = [f"strpos({text}, {quoted(words)}) > 0" for text in _texts(schema)]
    if holds and table.count(" OR ".join(holds)):
        return True
    if "images" not in schema.names:
        return False
    images = table.find("array_length(images) > 0", ["images"])["images"].to_pylist()
    return any(words in image["caption"] for row in images for image in row)


def _texts(schema: pa.Schema) -> Iterator[str]:
    """SQL for the text of each column that holds any, captions excepted."""
    for field in schema:
        if field.name not in ("uid", "tenant", "user") and pa.types.is_string(field.type):
            yield field.name
        elif field.type == pa.list_(pa.string()):
            yield f"array_to_string({field.name}, ' ')"
