"""A user with everything that the store keeps, and a mark in every text that tells where it came from."""

import random
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from personavlm.memory_store import (
    Add,
    AnyMemory,
    AsOf,
    ImageRef,
    MemoryKind,
    MemoryStore,
    NotFoundError,
    Profile,
    SearchRequest,
    Turn,
    TurnDraft,
    Update,
    UserKey,
)
from tests.unit.memory_store.steps import day

DAYS = 5


@dataclass
class Marks:
    """Makes marks: text that no compression shortens, each of them used once."""

    seed: str
    made: dict[str, str] = field(default_factory=dict)

    def __call__(self, where: str) -> str:
        mark = random.Random(f"{self.seed} {where}").randbytes(20).hex()
        self.made[where] = mark
        return mark

    def of(self, part: str) -> list[str]:
        """The marks of places whose name has this part."""
        return [mark for where, mark in self.made.items() if part in where]


@dataclass
class Life:
    """What was stored of one user. ``turns`` and ``facts`` are one a day, the facts with two versions."""

    user: UserKey
    marks: Marks
    turns: list[Turn]
    facts: list[AnyMemory]
    shared_image: ImageRef
    own_images: list[ImageRef]


def live(store: MemoryStore, user: UserKey) -> Life:
    """Five days: each has a turn with an image of its own and a fact; all turns share one image."""
    marks = Marks(f"{user.tenant} {user.user}")
    shared = image(store, user, marks, "shared image")
    life = Life(user, marks, [], [], shared, [])
    for number in range(DAYS):
        own = image(store, user, marks, f"day {number} image")
        life.own_images.append(own)
        life.turns.append(turn(store, user, marks, number, (own, shared)))
        life.facts.append(remember(store, life, number))
    store.index(user)
    return life


def image(store: MemoryStore, user: UserKey, marks: Marks, where: str) -> ImageRef:
    data = b"\x89PNG" + marks(f"{where} bytes").encode()
    return store.put_image(user, data, "image/png", 4, 4, marks(f"{where} caption"))


def turn(store: MemoryStore, user: UserKey, marks: Marks, number: int, images: tuple[ImageRef, ...]) -> Turn:
    where = f"day {number} turn"
    draft = TurnDraft(
        f"said {number} {marks(f'{where} user_text')}",
        marks(f"{where} assistant_text"),
        day(number),
        images,
        thinking=marks(f"{where} thinking"),
        model=marks(f"{where} model"),
        client_id=marks(f"{where} client_id"),
    )
    return store.append_turn(user, draft)


def remember(store: MemoryStore, life: Life, number: int) -> AnyMemory:
    """A fact in two versions, and one memory of each other kind; a profile that was read from the turn."""
    turn, marks, now = life.turns[number], life.marks, day(number)
    where = f"day {number}"

    def add(kind: str) -> Add:
        return Add(
            marks(f"{where} {kind} text"),
            now,
            (turn.id,),
            reason=marks(f"{where} {kind} reason"),
            key=marks(f"{where} {kind} key") if kind in ("core", "procedural") else "",
            keywords=(marks(f"{where} {kind} keyword"),) if kind in ("semantic", "episodic") else (),
            images=(turn.images[0],) if kind == "semantic" else (),
            session=turn.session if kind == "episodic" else "",
        )

    for kind in MemoryKind:
        written = store.apply(life.user, kind, f"turn:{turn.id}", [add(kind)])
        if kind == MemoryKind.SEMANTIC:
            fact = written[0]
    text, reason = marks(f"{where} semantic second text"), marks(f"{where} semantic second reason")
    update = Update(fact.id, text, now, (turn.id,), reason)
    (second,) = store.apply(life.user, MemoryKind.SEMANTIC, f"again:{turn.id}", [update])
    profile = Profile(
        version=store.profile(life.user).version,
        traits=(1.0 + number / 10,) * 5,
        cause="inferred",
        inferred=(3,) * 5,
        evidence=(turn.id,),
        source=f"turn:{turn.id}",
        event_time=now,
        recorded_at=now,
    )
    store.save_profile(life.user, profile)
    return second


def found_in(folder: Path, marks: Collection[str]) -> set[str]:
    """Which of the marks any file below the folder holds, hidden files too."""
    files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return {mark for mark in marks if any(mark.encode() in data for data in files)}


def everything(store: MemoryStore, life: Life) -> dict[str, object]:
    """Whatever the store answers about a user, now and as of each day on both clocks."""
    user = life.user
    answers: dict[str, object] = {
        "image": [image_or_none(store, user, ref) for ref in (*life.own_images, life.shared_image)],
        "found": store.search(user, SearchRequest("said", k_turns=99, k_semantic=99)).ids(),
        "history": [store.history(user, memory.id) for memory in store.memories(user, include_ended=True)],
    }
    for name, as_of in {"now": None, **clocks()}.items():
        answers[f"turns {name}"] = store.turns(user, as_of=as_of)
        answers[f"memories {name}"] = store.memories(user, as_of=as_of, include_ended=True)
        answers[f"profile {name}"] = store.profile(user, as_of=as_of)
    return answers


def clocks() -> dict[str, AsOf]:
    """As of each day of the life, and long after it was recorded."""
    times = [day(number + 0.5) for number in range(DAYS)]
    later = datetime.now(day(0).tzinfo) + timedelta(days=3_650)
    return {
        **{f"on day {number}": AsOf(time) for number, time in enumerate(times)},
        "in ten years, by the timeline": AsOf(later),
        "in ten years, by the record": AsOf(later, "recorded"),
    }


def image_or_none(store: MemoryStore, user: UserKey, ref: ImageRef) -> bytes | None:
    try:
        return store.image(user, ref.sha256)
    except NotFoundError:
        return None
