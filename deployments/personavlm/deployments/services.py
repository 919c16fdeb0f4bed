"""What the routes of the ingress share, and how a request becomes a user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from personavlm.deployments.api import USER_PATTERN
from personavlm.deployments.intake import Intake
from personavlm.deployments.keys import Credential, KeyRing
from personavlm.deployments.limits import Limits
from personavlm.deployments.memory_pool import MemoryPool
from personavlm.deployments.policy_replicas import PolicyReplicas
from personavlm.deployments.requests_seen import seen
from personavlm.memory_store import UserKey
from personavlm.platform.errors import RequestError


@dataclass(frozen=True, slots=True)
class Services:
    """Built once per ingress replica."""

    keys: KeyRing
    memory: MemoryPool
    policy: PolicyReplicas
    intake: Intake
    limits: Limits
    request_timeout_s: float
    max_request_timeout_s: float


_bearer = HTTPBearer(auto_error=False, description="An API key made by `personavlm keys create`.")


def services(request: Request) -> Services:
    """The replica's services."""
    found: Services = request.app.state.services
    return found


def credential(
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    shared: Annotated[Services, Depends(services)],
) -> Credential:
    """Who is calling. Raises 401 without a valid key."""
    if bearer is None:
        raise _unauthorised("no API key: send the header 'Authorization: Bearer <key>'")
    found = shared.keys.verify(bearer.credentials)
    if found is None:
        raise _unauthorised("this API key is not known; `personavlm keys create` makes one")
    seen().tenant = found.tenant
    return found


def require_replay(caller: Credential, param: str) -> None:
    """Raise 403 unless the key may state when things happened."""
    if not caller.replay:
        raise RequestError(
            f"{param} needs a key that may replay history (`personavlm keys create --replay`)",
            status=403,
            param=param,
            code="replay_not_allowed",
        )


def user_key(
    user: Annotated[str, Path(pattern=USER_PATTERN)], caller: Annotated[Credential, Depends(credential)]
) -> UserKey:
    """The user of the path, always inside the caller's tenant."""
    key = seen().user = UserKey(caller.tenant, user)
    return key


def _unauthorised(message: str) -> RequestError:
    return RequestError(message, status=401, code="invalid_api_key")


SharedServices = Annotated[Services, Depends(services)]
Caller = Annotated[Credential, Depends(credential)]
PathUser = Annotated[UserKey, Depends(user_key)]
