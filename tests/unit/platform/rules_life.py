"""What tests of the rules share: a small life, a memory that holds it, and a reply to its end."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from personavlm.memory_store.queries import Context, Hit, SearchRequest, SearchResult
from personavlm.memory_store.records import (
    NEUTRAL,
    TRAITS,
    ImageRef,
    Profile,
    SemanticMemory,
    Turn,
    UserKey,
)
from personavlm.platform.agent.loop import Agent
from personavlm.platform.agent.types import Message, Outcome
from personavlm.platform.engines.rules.engine import RulesEngine
from personavlm.platform.engines.rules.words import stems

USER = UserKey("acme", "ana")
ZONE = timezone(timedelta(hours=2))
NOW = datetime(2026, 5, 20, 14, 5, tzinfo=ZONE)  # a Wednesday
MUG = ImageRef("ab" * 32, "image/png", 8, 8)
ENGINE = RulesEngine()


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZONE)


def turn(time: str, user: str, assistant: str = "Noted.", *images: ImageRef) -> Turn:
    return Turn(f"t_{time}", 0, "t_0", at(time), at(time), user, assistant, images)


def fact(time: str, text: str, until: str = "", images: tuple[ImageRef, ...] = ()) -> SemanticMemory:
    return SemanticMemory(
        id=f"s_{time}", version=1, text=text, event_time=at(time), revised_at=at(time), recorded_at=at(time),
        valid_to=at(until) if until else None, images=images,
    )  # fmt: skip


LIFE = (
    turn("2026-03-02 09:00", "Morning! I always drink Sprite after my run."),
    turn("2026-03-02 09:03", "My sister Lena lives in Graz and works as a nurse."),
    turn("2026-03-07 18:00", "I adopted a dog today. His name is Rex and he is a brown labrador."),
    turn("2026-03-15 10:00", "Yesterday I painted a sunset by the lake, my first watercolour."),
    turn("2026-04-02 19:00", "I passed the statistics exam! What should I do now?"),
    turn("2026-05-03 12:00", "I've gone off Sprite, these days I drink Coke instead."),
    turn("2026-05-10 11:00", "I ran 10 km along the river this morning in 52 minutes."),
    turn("2026-05-17 09:30", "Baked a lemon cake with Lena for mum's birthday."),
    turn("2026-05-17 21:00", "We watched the film about the two giraffes."),
    turn("2026-05-18 08:00", "What do I drink?", "You like Coke."),
    turn("2026-05-18 09:00", "J'ai un chat qui s'appelle Minou."),
)
FACTS = (
    fact("2026-03-02 09:00", "I always drink Sprite after my run.", until="2026-05-03 12:00"),
    fact("2026-05-03 12:00", "I've gone off Sprite, these days I drink Coke instead."),
)


@dataclass
class Remembered:
    """Ana's life, searched by shared stems; the window filters, and is widened once if it holds nothing."""

    known: Context = field(default_factory=Context)
    visual: tuple[SemanticMemory, ...] = ()
    requests: list[SearchRequest] = field(default_factory=list)

    async def context(self, user: UserKey, now: datetime) -> Context:
        return self.known

    async def search(self, user: UserKey, request: SearchRequest) -> SearchResult:
        self.requests.append(request)
        seen = self.visual if request.image_sha256 else ()
        return SearchResult(
            semantic=tuple(self._hits(FACTS, request, request.k_semantic)),
            visual=tuple(Hit(memory, "visual", 0.9) for memory in seen if memory.id not in request.exclude),
            turns=tuple(self._hits(LIFE, request, request.k_turns)),
        )

    async def image(self, user: UserKey, sha256: str) -> bytes:
        raise AssertionError("rules do not see")

    def _hits(self, items: Sequence[Turn | SemanticMemory], request: SearchRequest, k: int) -> Sequence[Hit]:
        wanted = stems(f"{request.keywords} {request.query}")
        left = [item for item in items if item.id not in request.exclude]
        inside = [item for item in left if request.window.overlaps(item.event_time, item.event_time)]
        chosen = inside or left
        chosen = sorted(chosen, key=lambda item: -len(wanted & stems(_words(item))))[:k]
        kind: Any = "turn" if items is LIFE else "semantic"
        hits = [Hit(item, kind, 1.0, outside_window=item not in inside) for item in chosen]
        return sorted(hits, key=lambda hit: hit.item.event_time)


def _words(item: Turn | SemanticMemory) -> str:
    return item.user_text if isinstance(item, Turn) else item.text


async def ask(text: str, memory: Remembered | None = None, *images: ImageRef) -> Outcome:
    memory = memory or Remembered()
    events = [event async for event in Agent(ENGINE, memory).run(Message(USER, text, NOW, images))]
    outcome = events[-1]
    assert isinstance(outcome, Outcome)
    assert not any(step.repaired for step in outcome.steps), "rules write the grammar without a fault"
    return outcome


def person(**traits: float) -> Context:
    scores: Any = tuple(traits.get(trait, NEUTRAL) for trait in TRAITS)
    return Context(personality=Profile(version=1, traits=scores, event_time=NOW, recorded_at=NOW))
