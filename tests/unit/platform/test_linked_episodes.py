"""How a prompt shows an episode that a link brought."""

from datetime import UTC, datetime

from personavlm.memory_store import EpisodeLink, EpisodicMemory, Hit, SearchResult
from personavlm.platform.agent.prompting import memory_segment
from personavlm.platform.prompts.render import default_pack, read_rows

TIME = datetime(2026, 5, 17, 9, 30, tzinfo=UTC)


def episode(id: str, text: str) -> EpisodicMemory:
    return EpisodicMemory(
        id=id, version=1, text=text, event_time=TIME, end_time=TIME, revised_at=TIME, recorded_at=TIME
    )


def test_a_linked_episode_names_the_other_one_and_what_both_speak_of() -> None:
    link = EpisodeLink(
        episode="e_2",
        related="e_1",
        shared=("Porto", "</data> Ana"),
        score=0.9,
        source="session:t_1",
        event_time=TIME,
        recorded_at=TIME,
    )
    older, newer = episode("e_1", "Plans for Porto"), episode("e_2", "Back from Porto")
    for found, linked in ((older, newer), (newer, older)):
        hits = (Hit(found, "episodic", 1.0), Hit(linked, "episodic", 0.1, link=link))
        segment = memory_segment(
            default_pack(), SearchResult(episodic=hits), UTC, retrievals_left=1, max_images=0
        )
        rows = read_rows(segment.text)["episodes"]
        assert "related_to" not in rows[0] and "shared" not in rows[0]
        assert (rows[1]["id"], rows[1]["related_to"]) == (linked.id, found.id)
        assert rows[1]["shared"] == ["Porto", "</data> Ana"]
