"""Turn what memory gives into the data rows of prompts.

Times are shown as "2026-05-17 14:05 Sunday" in the local time of the message at hand; the weekday is what
lets a model resolve "last Sunday".
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, tzinfo
from typing import Any

from personavlm.memory_store.queries import Context, Hit, SearchResult
from personavlm.memory_store.records import TRAITS, EpisodicMemory, ImageRef, Profile, SemanticMemory, Turn
from personavlm.platform.agent.descriptors import descriptor
from personavlm.platform.agent.types import Message
from personavlm.platform.engines.base import Segment
from personavlm.platform.prompts.render import PromptPack

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
Row = dict[str, Any]


def shown_time(time: datetime, zone: tzinfo) -> str:
    """``time`` as prompts show it."""
    local = time.astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M} {WEEKDAYS[local.weekday()]}"


def first_segments(
    pack: PromptPack, context: Context, message: Message, *, max_retrievals: int, max_images: int
) -> list[Segment]:
    """The rules, then the data: what every trajectory starts from.

    Where the rules render to nothing there is no system message: the model's own default holds.
    At most ``max_images`` are attached: the message's own, before them the newest of the session.
    """
    zone = message.zone
    rules = pack.render("reply_rules", max_retrievals=max_retrievals)
    prompt = pack.render(
        "reply",
        core=[{"key": memory.key, "block": memory.block, "text": memory.text} for memory in context.core],
        personality=_personality_rows(context.personality),
        conversation=[turn_row(turn, zone) for turn in context.open_session],
        omitted=[{"turns": context.omitted_turns}] if context.omitted_turns else [],
        instructions=[{"text": message.instructions}] if message.instructions else [],
        message=[_message_row(message, zone)],
        max_retrievals=max_retrievals,
    )
    earlier = [image for turn in context.open_session for image in turn.images]
    images = (*earlier, *message.images)
    images = images[max(0, len(images) - max_images) :]
    system = [Segment("system", rules)] if rules.strip() else []
    return [*system, Segment("user", prompt, images)]


def memory_segment(
    pack: PromptPack, result: SearchResult, zone: tzinfo, *, retrievals_left: int, max_images: int
) -> Segment:
    """What a retrieval brought, with at most ``max_images``: those of visual concepts first."""
    prompt = pack.render(
        "memories",
        procedural=[{"id": hit.item.id, "text": _text(hit)} for hit in result.procedural],
        semantic=[_semantic_row(hit, zone) for hit in result.semantic],
        visual=[_semantic_row(hit, zone) for hit in result.visual],
        episodes=[_episode_row(hit, zone) for hit in result.episodic],
        turns=[_turn_hit_row(hit, zone) for hit in result.turns],
        widened=[{"kind": kind} for kind in result.widened],
        remaining=[{"retrievals": retrievals_left}],
    )
    return Segment("user", prompt, _images((*result.visual, *result.turns))[:max_images])


def turn_row(turn: Turn, zone: tzinfo) -> Row:
    """One turn; captions are there only if an image has one."""
    row: Row = {
        "id": turn.id,
        "time": shown_time(turn.event_time, zone),
        "user": turn.user_text,
        "assistant": turn.assistant_text,
        "images": len(turn.images),
    }
    return row | _captions(turn.images)


def _message_row(message: Message, zone: tzinfo) -> Row:
    row: Row = {
        "time": shown_time(message.now, zone),
        "text": message.text,
        "images": len(message.images),
    }
    return row | _captions(message.images)


def _personality_rows(profile: Profile | None) -> list[Row]:
    if profile is None:
        return []
    return [
        {"trait": trait, "score": round(score, 1), "descriptor": descriptor(trait, score)}
        for trait, score in zip(TRAITS, profile.traits, strict=True)
    ]


def _semantic_row(hit: Hit, zone: tzinfo) -> Row:
    memory = hit.item
    assert isinstance(memory, SemanticMemory)
    row: Row = {
        "id": memory.id,
        "time": shown_time(memory.event_time, zone),
        "category": memory.category,
        "text": memory.text,
    }
    if memory.valid_to:
        row["until"] = shown_time(memory.valid_to, zone)
    if memory.images:
        row["images"] = len(memory.images)
    return row | _outside(hit)


def _episode_row(hit: Hit, zone: tzinfo) -> Row:
    episode = hit.item
    assert isinstance(episode, EpisodicMemory)
    row: Row = {
        "id": episode.id,
        "from": shown_time(episode.event_time, zone),
        "to": shown_time(episode.end_time, zone),
        "text": episode.text,
    }
    return row | _related(hit) | _outside(hit)


def _related(hit: Hit) -> Row:
    """To which found episode this one belongs, and what both speak of."""
    if hit.link is None:
        return {}
    return {"related_to": hit.link.other_end(hit.item.id), "shared": list(hit.link.shared)}


def _turn_hit_row(hit: Hit, zone: tzinfo) -> Row:
    assert isinstance(hit.item, Turn)
    return turn_row(hit.item, zone) | _outside(hit)


def _outside(hit: Hit) -> Row:
    return {"outside_window": True} if hit.outside_window else {}


def _captions(images: Iterable[ImageRef]) -> Row:
    captions = [image.caption for image in images if image.caption]
    return {"captions": captions} if captions else {}


def _text(hit: Hit) -> str:
    assert not isinstance(hit.item, Turn)
    return hit.item.text


def _images(hits: Iterable[Hit]) -> tuple[ImageRef, ...]:
    """The images of the hits in order, each once."""
    items = (hit.item for hit in hits)
    images = (image for item in items if isinstance(item, Turn | SemanticMemory) for image in item.images)
    return tuple(dict.fromkeys(images))
