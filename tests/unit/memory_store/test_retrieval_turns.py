"""Search over real turns: neighbours, speakers, dates, Chinese, and texts that have no vectors yet."""

from pathlib import Path

import pytest

from personavlm.memory_store import Add, AsOf, MemoryKind, MemoryStore, SearchRequest, TurnDraft, UserKey
from personavlm.memory_store.retrieval.retriever import ENCODED_AT_ONCE
from tests.unit.memory_store.encoders import WordEncoder, open_store
from tests.unit.memory_store.steps import day, ids, remember, say

USER = UserKey("t", "u")
FILLER = ["the bus was late", "rain again", "soup for lunch", "a slow day", "new shoes", "so tired"]


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    return open_store(tmp_path)


def best(store: MemoryStore, query: str, k: int = 1, as_of: AsOf | None = None) -> list[str]:
    request = SearchRequest(query, k_turns=k, as_of=as_of)
    return ids(sorted(store.search(USER, request).turns, key=lambda hit: -hit.score))


def test_an_answer_is_found_by_the_question_before_it(store: MemoryStore) -> None:
    for number, text in enumerate(FILLER):
        say(store, USER, number, text, "I see")
    say(store, USER, 10, "hello", "What instrument do you play in the orchestra?")
    answer = say(store, USER, 10.001, "The oboe, for years", "Lovely")
    assert best(store, "instrument in the orchestra", 2)[1] == answer.id


def test_a_name_asks_for_the_words_of_its_bearer(store: MemoryStore) -> None:
    for key, name in (("name", "Ana"), ("assistant name", "Ben")):
        remember(store, USER, MemoryKind.CORE, Add(name, day(0), (), key=key))
    for number, text in enumerate(FILLER):
        say(store, USER, number, text, "I see")
    hers = say(store, USER, 20, "I collect old maps", "Nice")
    his = say(store, USER, 30, "Nice", "I collect old maps")
    assert best(store, "What does Ana collect?") == [hers.id]
    assert best(store, "What does Ben collect?") == [his.id]


def test_a_date_in_the_query_prefers_what_was_said_then(store: MemoryStore) -> None:
    turns = [say(store, USER, number, "dinner, and we talked") for number in range(12)]
    assert best(store, "dinner talk on 8 March") == [turns[7].id]
    assert best(store, "3月5日的 dinner talk") == [turns[4].id]


def test_chinese_is_found_in_chinese(store: MemoryStore) -> None:
    for number, text in enumerate(["今天下雨了", "公交车晚点了", "中午喝了汤", "买了新鞋子", "我很累"]):
        say(store, USER, number, text, "知道了")
    turn = say(store, USER, 6, "我妹妹在上海学小提琴", "真好")
    assert best(store, "妹妹学什么乐器") == [turn.id]
    assert best(store, "小提琴") == [turn.id]


def test_a_read_of_the_past_does_not_see_what_follows(store: MemoryStore) -> None:
    """The later neighbour holds the sought word; before it was said it must lift nobody."""
    for number, text in enumerate(FILLER):
        say(store, USER, number, text)
    say(store, USER, 10, "as I said")
    then = AsOf(day(10.0005))
    before = store.search(USER, SearchRequest("oboe", k_turns=9, as_of=then))
    say(store, USER, 10.001, "the oboe was out of tune")
    after = store.search(USER, SearchRequest("oboe", k_turns=9, as_of=then))
    assert [(hit.item.id, hit.score) for hit in before.turns] == [
        (hit.item.id, hit.score) for hit in after.turns
    ]


def test_a_search_encodes_the_newest_texts_only_and_finds_the_others_by_their_words(tmp_path: Path) -> None:
    encoder = WordEncoder()
    store = open_store(tmp_path, encoder)
    count = ENCODED_AT_ONCE + 20
    drafts = [TurnDraft(f"entry number{n}", "", event_time=day(n)) for n in range(count)]
    turns, _ = store.append_turns(USER, drafts)
    assert best(store, "number3") == [turns[3].id]
    texts = [text for text in encoder.encoded if text.startswith("entry")]
    assert texts == [f"entry number{n}" for n in range(20, count)]
    store.index(USER)
    assert len([text for text in encoder.encoded if text.startswith("entry")]) == count
    assert best(store, "number3") == [turns[3].id]


def test_another_model_finds_by_words_until_it_has_encoded(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    turns = [say(store, USER, number, f"{text} {number}") for number, text in enumerate(FILLER * 15)]
    store.index(USER)
    store = open_store(tmp_path, WordEncoder(dim=32))
    assert best(store, "shoes 4") == [turns[4].id]
    store.index(USER)
    assert best(store, "shoes 4") == [turns[4].id]
