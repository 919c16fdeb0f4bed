"""Calls of a memory actor that are made for a request: what is logged on the way names it."""

from __future__ import annotations

from typing import Any

from personavlm.deployments.origins import Origin, working_for
from personavlm.memory_store import UserKey


class Attributed:
    """The part of a memory actor that knows for whom it works."""

    async def on_behalf(self, origin: Origin, method: str, user: UserKey, *args: object) -> Any:  # noqa: ANN401 - as that method returns
        """Call a method of this actor for a request."""
        with working_for(origin):
            return await getattr(self, method)(user, *args)
