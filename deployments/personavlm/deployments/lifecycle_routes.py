"""Forgetting: one memory, a time range or everything of a user, verified and confirmed by a receipt."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import AwareDatetime, model_validator

from personavlm.deployments.api import Body, ErrorReply
from personavlm.deployments.services import PathUser, SharedServices
from personavlm.memory_store import Window
from personavlm.memory_store.lifecycle.erasure import Receipt

router = APIRouter(responses={status: {"model": ErrorReply} for status in (400, 401, 404, 503)})


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
