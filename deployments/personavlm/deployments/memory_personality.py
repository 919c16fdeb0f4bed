"""A user's Big Five profile, as the user sees and governs it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from personavlm.memory_store import NEUTRAL, Profile, UserKey
from personavlm.memory_store.stores import Stores


class Personality:
    """The part of a memory actor that keeps profiles."""

    _stores: Stores

    async def profile(self, user: UserKey) -> tuple[Profile, ...]:
        """All versions, oldest first; the last one is in force."""
        return await asyncio.to_thread(self._profile, user)

    def _profile(self, user: UserKey) -> tuple[Profile, ...]:
        return self._stores.of(user).profile_history(user) or (self._stores.of(user).profile(user),)

    async def reset_profile(self, user: UserKey) -> None:
        await asyncio.to_thread(self._save_profile, user, None)

    async def set_consent(self, user: UserKey, consent: bool) -> None:
        await asyncio.to_thread(self._save_profile, user, consent)

    def _save_profile(self, user: UserKey, consent: bool | None) -> None:
        current, now = self._stores.of(user).profile(user), datetime.now(UTC)
        change = Profile(
            version=current.version,
            traits=(NEUTRAL,) * 5 if consent is None else current.traits,
            consent=current.consent if consent is None else consent,
            cause="reset" if consent is None else "consent",
            event_time=now,
            recorded_at=now,
        )
        self._stores.of(user).save_profile(user, change)
