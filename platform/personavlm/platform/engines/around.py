"""What stands around an engine and passes on all that it does not change."""

from __future__ import annotations

from personavlm.platform.engines.base import Engine


class EngineAround:
    """Everything is the inner engine's, but for `stream`, which subclasses bring."""

    def __init__(self, inner: Engine) -> None:
        self._inner = inner

    @property
    def model(self) -> str:
        """The inner engine's."""
        return self._inner.model

    @property
    def version(self) -> str:
        """The inner engine's."""
        return self._inner.version

    @property
    def description(self) -> str:
        """The inner engine's."""
        return self._inner.description

    async def check_health(self) -> None:
        """The inner engine's."""
        await self._inner.check_health()

    async def close(self) -> None:
        """The inner engine's."""
        await self._inner.close()
