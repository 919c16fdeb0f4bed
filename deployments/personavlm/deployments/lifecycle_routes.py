"""Forgetting with a receipt, and a user's data as one archive, out and in."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import AwareDatetime, BaseModel, model_validator

from personavlm.deployments.api import Body, ErrorReply
from personavlm.deployments.services import Caller, PathUser, SharedServices, require_replay
from personavlm.memory_store import Window
from personavlm.memory_store.lifecycle.erasure import Receipt

router = APIRouter(responses={status: {"model": ErrorReply} for status in (400, 401, 403, 404, 413, 503)})


ZIP = "application/zip"
ARCHIVE: dict[int | str, dict[str, Any]] = {200: {"content": {ZIP: {}}}}
ARCHIVE_BODY = {"requestBody": {"required": True, "content": {ZIP: {"schema": {"type": "string"}}}}}


class ImportReply(BaseModel):
    """How many rows of each table were taken in."""

    rows: dict[str, int]


class EraseRequest(Body):
    """`POST /v1/users/{user}/erase`: a closed range of event times; at least one side is stated."""

    start_time: AwareDatetime | None = None
    end_time: AwareDatetime | None = None

    @model_validator(mode="after")
    def _bounded(self) -> EraseRequest:
        if self.start_time is None and self.end_time is None:
            raise ValueError("state start_time or end_time; DELETE the user to erase everything")
        if self.start_time and self.end_time and self.start_time > self.end_time:
            raise ValueError("start_time lies after end_time")
        return self


@router.delete("/v1/users/{user}")
async def erase_user(user: PathUser, shared: SharedServices) -> Receipt:
    """Erase everything of a user: turns, memories, personality, images, and what waits to be learned."""
    receipt: Receipt = await shared.memory.home(user).call("erase_user")
    return receipt


@router.post("/v1/users/{user}/erase")
async def erase_range(user: PathUser, request: EraseRequest, shared: SharedServices) -> Receipt:
    """Erase the turns of a time range, and every memory and inference that rests on one of them."""
    window = Window(request.start_time, request.end_time)
    receipt: Receipt = await shared.memory.home(user).call("erase_range", window)
    return receipt


@router.post("/v1/users/{user}/memories/{memory_id}/erase")
async def erase_memory(user: PathUser, memory_id: str, shared: SharedServices) -> Receipt:
    """Erase one memory in all its versions. `DELETE` ends it but keeps its history; this keeps nothing."""
    receipt: Receipt = await shared.memory.home(user).call("erase_memory", memory_id)
    return receipt


@router.get("/v1/users/{user}/export", response_class=Response, responses=ARCHIVE)
async def export_user(user: PathUser, shared: SharedServices, vectors: bool = False) -> Response:
    """Everything of a user as a ZIP file of JSON Lines and images; `vectors` adds what can be made again."""
    data = await shared.memory.home(user).call("export_user", vectors)
    name = {"Content-Disposition": 'attachment; filename="personavlm-user.zip"'}
    return Response(data, media_type=ZIP, headers=name)


@router.post("/v1/users/{user}/import", openapi_extra=ARCHIVE_BODY)
async def import_user(
    user: PathUser, request: Request, caller: Caller, shared: SharedServices, replace: bool = False
) -> ImportReply:
    """Take in an exported archive as this user, all or nothing. Without `replace` the user must be new."""
    require_replay(caller, "importing a user")
    rows = await shared.memory.home(user).call("import_user", await request.body(), replace)
    return ImportReply(rows=rows)
