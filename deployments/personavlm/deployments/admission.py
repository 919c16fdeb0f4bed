"""What a message must pass before it is worked on: the limits of its tenant; and its deadline."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Header

from personavlm.deployments.deadlines import TIMEOUT_HEADER
from personavlm.deployments.limits import Tenant
from personavlm.deployments.services import Caller, SharedServices
from personavlm.platform.errors import RequestError


def deadline(
    shared: SharedServices,
    seconds: Annotated[float | None, Header(alias=TIMEOUT_HEADER, gt=0, allow_inf_nan=False)] = None,
) -> float:
    """When the reply must be complete, in seconds since 1970."""
    if seconds is not None and seconds > shared.max_request_timeout_s:
        raise RequestError(
            f"{TIMEOUT_HEADER}: {seconds:g} s is more than this service allows; "
            f"ask for at most {shared.max_request_timeout_s:g} s",
            param=TIMEOUT_HEADER, code="invalid_value",
        )  # fmt: skip
    return time.time() + (seconds or shared.request_timeout_s)


async def admitted(caller: Caller, shared: SharedServices) -> AsyncIterator[Tenant]:
    """The caller's tenant, which pays for the message. It counts as ongoing until the response is sent."""
    tenant = shared.limits.of(caller.tenant)
    tenant.enter()
    try:
        yield tenant
    finally:
        tenant.leave()


Deadline = Annotated[float, Depends(deadline)]
Admitted = Annotated[Tenant, Depends(admitted)]
