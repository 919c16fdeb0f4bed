"""Words, stems and sentences."""

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from personavlm.platform.engines.rules.words import content_words, sentences, stem, stems


def test_content_words_keep_their_order_and_leave_out_what_says_little() -> None:
    text = "Where does my mother\u2019s friend Dr. Lee live? Lee and I ran at 7"
    assert content_words(text) == ("mother", "friend", "dr", "lee", "live", "ran", "7")


def test_stems_join_forms_of_a_word() -> None:
    assert stems("I ran") & stems("running") & stems("she runs")
    assert stems("children drank tea") == stems("a child drinks teas")


def test_scripts_without_spaces_match_in_pairs() -> None:
    assert content_words("我喜欢喝茶 and coffee") == ("我喜", "喜欢", "欢喝", "喝茶", "coffee")
    assert stems("我喜欢茶") & stems("他也喜欢水")
    assert content_words("茶") == ("茶",)


def test_sentences_end_where_they_end() -> None:
    text = "I met Dr. Lee at 3.5 km. She said \u201chi.\u201d Then left!\nNew line 我喜欢茶。你呢？"  # noqa: RUF001
    assert sentences(text) == (
        "I met Dr. Lee at 3.5 km.",
        "She said \u201chi.\u201d",
        "Then left!",
        "New line 我喜欢茶。",
        "你呢？",  # noqa: RUF001
    )
    assert sentences(" \n ") == ()


@given(st.text())
def test_any_text_has_words_and_loses_none_of_its_sentences(text: str) -> None:
    assert all(content_words(text)) and all(stems(text))
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


def test_threads_do_not_disturb_each_other() -> None:
    words = [
        f"{prefix}{ending}" for prefix in ("walk", "talk", "bak", "cod") for ending in ("ing", "ed", "er")
    ]
    alone = [stem.__wrapped__(word) for word in words]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda _: [stem.__wrapped__(word) for word in words], range(64)))
    assert all(result == alone for result in together)
