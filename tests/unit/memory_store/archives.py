"""What tests of archives share: all that a store says of a user, and archives of any make."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from personavlm.memory_store import (
    Add,
    AsOf,
    ImageRef,
    MemoryKind,
    MemoryStore,
    Profile,
    Progress,
    SearchRequest,
    TurnDraft,
    UserKey,
)
from tests.unit.memory_store.steps import START, day
from tests.unit.memory_store.test_store_histories import view

LATE = START + timedelta(days=4000)


def exported(store: MemoryStore, user: UserKey, *, vectors: bool = False) -> bytes:
    file = io.BytesIO()
    store.transfer.export_user(user, file, vectors=vectors)
    return file.getvalue()


def imported(store: MemoryStore, user: UserKey, archive: bytes, *, replace: bool = False) -> None:
    store.transfer.import_user(user, io.BytesIO(archive), replace=replace)


def everything(store: MemoryStore, user: UserKey) -> list[object]:
    """Every read of the store, as of every time at which something happened or was written down."""
    turns, memories = store.turns(user), store.memories(user, include_ended=True)
    histories = [store.history(user, memory.id) for memory in memories]
    sources = {f"turn:{turn.id}" for turn in turns} | {m.source for history in histories for m in history}
    times = {turn.event_time for turn in turns} | {m.revised_at for history in histories for m in history}
    written = {turn.recorded_at for turn in turns} | {m.recorded_at for h in histories for m in h}
    moments = [AsOf(time) for time in sorted(times)] + [AsOf(time, "recorded") for time in sorted(written)]
    images = [image.sha256 for turn in turns for image in turn.images]
    return [
        view(store, user, LATE),
        [view(store, user, moment.time, moment) for moment in moments],
        histories,
        sorted(
            (kind, source) for kind in MemoryKind for source in sources if store.applied(user, kind, source)
        ),
        store.profile_history(user),
        store.progress(user),
        store.timeline(user),
        store.newest_turn(user),
        [store.image(user, sha256) for sha256 in images],
        [store.search(user, SearchRequest("tea", image_sha256=(sha256,))) for sha256 in images],
        [store.linker.thread(user, episode.id) for episode in store.memories(user, MemoryKind.EPISODIC)],
    ]


def live_a_little(store: MemoryStore, user: UserKey) -> None:
    """Turns, an image, memories of all kinds, linked episodes, a profile, a step that writes nothing."""
    image: ImageRef = store.put_image(user, b"\x89PNG a cup", "image/png", 2, 2, "a cup")
    for number in range(3):
        images = (image,) if number == 1 else ()
        draft = TurnDraft(
            f"Fang Wei and the piano, {number}", "noted", day(number), images, client_id=f"{number}"
        )
        turn = store.append_turn(user, draft)
        source, end = f"turn:{turn.id}", turn.event_time
        for kind in MemoryKind:
            pictures = images if kind is MemoryKind.SEMANTIC else ()
            text = f"{kind} of Fang Wei and the piano {number}"
            add = Add(
                text,
                end,
                (turn.id,),
                key=f"{number}",
                keywords=("piano",),
                images=pictures,
                session=turn.session,
                end_time=end,
            )
            store.apply(user, kind, source, [add])
        store.apply(user, MemoryKind.SEMANTIC, f"nothing {number}", [])
        store.linker.link(user, source)
        profile = Profile(version=0, cause="reset", event_time=end, recorded_at=end, source=source)
        store.save_profile(user, profile)
        store.save_progress(user, Progress(number + 1, number))


def unzipped(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def forged(archive: bytes, change: Callable[[dict[str, bytes]], None]) -> bytes:
    """An archive with other members, and a manifest that fits them."""
    members = unzipped(archive)
    change(members)
    manifest: dict[str, Any] = json.loads(members.pop("manifest.json"))
    manifest["members"] = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        | ({"rows": data.count(b"\n")} if name.endswith(".jsonl") else {})
        for name, data in members.items()
    }
    return zipped(members | {"manifest.json": json.dumps(manifest).encode()})
