"""A user's memories, timeline, images and personality, and the import of recorded turns."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import AwareDatetime

from personavlm.deployments.api import ErrorReply
from personavlm.deployments.images import MEDIA_TYPES
from personavlm.deployments.intake import store_image
from personavlm.deployments.requests_seen import seen
from personavlm.deployments.resources import (
    CloseReply,
    CloseRequest,
    ConsentRequest,
    CoreRequest,
    ImageInput,
    MemorySearch,
    TurnInput,
    TurnsReply,
    TurnsRequest,
)
from personavlm.deployments.services import Caller, PathUser, Services, SharedServices, require_replay
from personavlm.deployments.trace import hit_json, memory_json, profile_json, thread_json, turn_json
from personavlm.deployments.views import (
    Deleted,
    MemoryList,
    MemoryView,
    ProfileView,
    SearchView,
    ThreadView,
    Timeline,
    TurnView,
)
from personavlm.memory_store import AsOf, MemoryKind, SearchRequest, TurnDraft, UserKey, Window
from personavlm.memory_store.media_types import EXTENSIONS
from personavlm.platform.errors import RequestError

IMAGES: dict[int | str, dict[str, Any]] = {200: {"content": {name: {} for name in MEDIA_TYPES.values()}}}
MEDIA: dict[int | str, dict[str, Any]] = {200: {"content": {name: {} for name in EXTENSIONS}}}
AS_STORED: dict[str, Any] = {"response_model_exclude_unset": True}  # a kind shows the fields that it has

router = APIRouter(responses={status: {"model": ErrorReply} for status in (400, 401, 403, 404, 409, 503)})


@router.post("/v1/turns")
async def import_turns(request: TurnsRequest, caller: Caller, shared: SharedServices) -> TurnsReply:
    """Import recorded turns in order. A client id that is already stored is passed over."""
    require_replay(caller, "importing turns")
    user = seen().user = UserKey(caller.tenant, request.user)
    for number, turn in enumerate(request.turns):
        if not (turn.user_text.strip() or turn.assistant_text.strip() or turn.images):
            raise RequestError(
                "a turn needs user_text, assistant_text or an image",
                param=f"turns.{number}",
                code="empty_turn",
            )
    home = shared.memory.home(user)
    times = [(turn.client_id, turn.event_time) for turn in request.turns]
    await home.call("check_order", times, request.allow_past)  # before any image is stored
    drafts = [await _draft(shared, user, turn, number, request) for number, turn in enumerate(request.turns)]
    ids, stored = await home.call("import_turns", drafts)
    return TurnsReply(stored=stored, already_stored=len(ids) - stored, turn_ids=ids)


async def _draft(
    shared: Services, user: UserKey, turn: TurnInput, number: int, request: TurnsRequest
) -> TurnDraft:
    inputs = [i if isinstance(i, ImageInput) else ImageInput(url=i) for i in turn.images]
    param, intake, home = f"turns.{number}", shared.intake, shared.memory.home(user)
    intake.require_count(len(inputs), param)
    checked = [await intake.images.read(one.url, f"{param}.image[{i}]") for i, one in enumerate(inputs)]
    stored = zip(checked, inputs, strict=True)
    images = [await store_image(home, image, one.caption) for image, one in stored]
    offset = turn.event_time.utcoffset()
    return TurnDraft(
        user_text=turn.user_text,
        assistant_text=turn.assistant_text,
        event_time=turn.event_time,
        images=tuple(images),
        client_id=turn.client_id,
        utc_offset_minutes=int(offset.total_seconds() // 60) if offset else 0,
        allow_past=request.allow_past,
    )


@router.post("/v1/users/{user}/sessions/close")
async def close_sessions(
    user: PathUser, request: CloseRequest, caller: Caller, shared: SharedServices
) -> CloseReply:
    """Close the open session if it is over by `now`; returns when all updates of the user are done."""
    require_replay(caller, "closing sessions")
    closed, pending = await shared.memory.home(user).call("close_sessions", request.now)
    return CloseReply(closed=closed, pending_turns=pending)


@router.put("/v1/users/{user}/core", response_model=MemoryList, **AS_STORED)
async def set_core(
    user: PathUser, request: CoreRequest, caller: Caller, shared: SharedServices
) -> dict[str, Any]:
    """Set facts of core memory by key; others stay as they are."""
    require_replay(caller, "setting core memory")
    found = await shared.memory.home(user).call("set_core", request.facts, request.event_time)
    return {"data": [memory_json(memory) for memory in found]}


@router.get("/v1/users/{user}/memories", response_model=MemoryList, **AS_STORED)
async def memories(
    user: PathUser,
    shared: SharedServices,
    kind: MemoryKind | None = None,
    as_of: AwareDatetime | None = None,
    include_ended: bool = False,
) -> dict[str, Any]:
    """Memories that hold, or held `as_of` a time on the timeline; `include_ended` adds superseded ones."""
    at = AsOf(as_of) if as_of else None
    found = await shared.memory.home(user).call("memories", kind, at, include_ended)
    return {"data": [memory_json(memory) for memory in found]}


@router.post("/v1/users/{user}/memories/search", response_model=SearchView, **AS_STORED)
async def search(user: PathUser, request: MemorySearch, shared: SharedServices) -> dict[str, Any]:
    """What the agent's retrieval would find."""
    if request.start_time and request.end_time and request.start_time > request.end_time:
        raise RequestError("start_time is after end_time", param="start_time", code="invalid_window")
    wanted = SearchRequest(
        keywords=request.keywords or request.query,
        query=request.query,
        window=Window(request.start_time, request.end_time),
    )
    result = await shared.memory.home(user).call("search", wanted)
    kinds = ("semantic", "episodic", "procedural", "visual", "turns")
    hits = {kind: [hit_json(hit) for hit in getattr(result, kind)] for kind in kinds}
    return {**hits, "widened": list(result.widened)}


@router.get("/v1/users/{user}/memories/{memory_id}", response_model=MemoryView, **AS_STORED)
async def memory(user: PathUser, memory_id: str, shared: SharedServices) -> dict[str, Any]:
    """One memory as it is now."""
    return memory_json(await shared.memory.home(user).call("memory", memory_id))


@router.get(
    "/v1/users/{user}/memories/{memory_id}/history",
    response_model=MemoryList,
    **AS_STORED,
)
async def history(user: PathUser, memory_id: str, shared: SharedServices) -> dict[str, Any]:
    """All versions of one memory, oldest first."""
    versions = await shared.memory.home(user).call("history", memory_id)
    return {"data": [memory_json(version) for version in versions]}


@router.get("/v1/users/{user}/episodes/{episode_id}/thread", response_model=ThreadView, **AS_STORED)
async def thread(
    user: PathUser, episode_id: str, shared: SharedServices, as_of: AwareDatetime | None = None
) -> dict[str, Any]:
    """An episode among those of the same thread, oldest first, now or as known on the timeline `as_of`."""
    at = AsOf(as_of) if as_of else None
    return thread_json(await shared.memory.home(user).call("thread", episode_id, at))


@router.delete("/v1/users/{user}/memories/{memory_id}", response_model=Deleted)
async def delete(user: PathUser, memory_id: str, shared: SharedServices) -> dict[str, Any]:
    """End one memory: it is neither found nor shown to the policy any more."""
    await shared.memory.home(user).call("delete_memory", memory_id)
    return {"id": memory_id, "deleted": True}


@router.get("/v1/users/{user}/timeline", response_model=Timeline)
async def timeline(
    user: PathUser,
    shared: SharedServices,
    start: AwareDatetime | None = None,
    end: AwareDatetime | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """Turns and memories in one order of time, newest first."""
    if start and end and start > end:
        raise RequestError("start is after end", param="start", code="invalid_window")
    return {"data": await shared.memory.home(user).call("timeline", Window(start, end), limit)}


@router.get("/v1/users/{user}/turns/{turn_id}", response_model=TurnView)
async def turn(user: PathUser, turn_id: str, shared: SharedServices) -> dict[str, Any]:
    """One turn: the user's words, the reply, the images."""
    return turn_json(await shared.memory.home(user).call("turn", turn_id))


@router.get("/v1/users/{user}/images/{sha256}", response_class=Response, responses=IMAGES)
async def image(user: PathUser, sha256: str, shared: SharedServices) -> Response:
    """The bytes of an image that this user sent."""
    return await _media(shared, user, sha256)


@router.get("/v1/users/{user}/media/{sha256}", response_class=Response, responses=MEDIA)
async def media(user: PathUser, sha256: str, shared: SharedServices) -> Response:
    """The bytes of an image, a video or a recording that this user sent."""
    return await _media(shared, user, sha256)


async def _media(shared: Services, user: UserKey, sha256: str) -> Response:
    data, media_type = await shared.memory.home(user).call("media", sha256)
    return Response(data, media_type=media_type, headers={"X-Content-Type-Options": "nosniff"})


@router.get("/v1/users/{user}/profile", response_model=ProfileView)
async def profile(user: PathUser, shared: SharedServices) -> dict[str, Any]:
    """The Big Five profile: traits from 1 to 5, descriptors, consent, and its history."""
    return profile_json(await shared.memory.home(user).call("profile"))


@router.post("/v1/users/{user}/profile/reset", response_model=ProfileView)
async def reset_profile(user: PathUser, shared: SharedServices) -> dict[str, Any]:
    """Set all traits back to neutral."""
    home = shared.memory.home(user)
    await home.call("reset_profile")
    return profile_json(await home.call("profile"))


@router.put("/v1/users/{user}/profile/consent", response_model=ProfileView)
async def consent(user: PathUser, request: ConsentRequest, shared: SharedServices) -> dict[str, Any]:
    """Allow or forbid that personality is inferred and used."""
    home = shared.memory.home(user)
    await home.call("set_consent", request.consent)
    return profile_json(await home.call("profile"))
