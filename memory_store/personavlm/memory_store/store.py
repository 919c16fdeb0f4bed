"""``MemoryStore``: turns, memories, profile and media of many users, in one shard.

Threads may share a store; one process at a time may have it open. A write returns once it is durable, and
every read after it sees it.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from personavlm.memory_store.admission import Admission
from personavlm.memory_store.cache import UserCache
from personavlm.memory_store.encoder import ImageEncoder, TextEncoder, Vectors
from personavlm.memory_store.errors import InvalidError
from personavlm.memory_store.lifecycle.backup import Backups
from personavlm.memory_store.lifecycle.eraser import Eraser
from personavlm.memory_store.lifecycle.last_erasures import LastErasures
from personavlm.memory_store.lifecycle.linker import Linker
from personavlm.memory_store.lifecycle.retention import Expiry
from personavlm.memory_store.lifecycle.stats import StoreStats
from personavlm.memory_store.lifecycle.transfer import Transfer
from personavlm.memory_store.lifecycle.usage import Usage, usage_of
from personavlm.memory_store.media_types import IMAGES, RECORDINGS
from personavlm.memory_store.queries import SearchRequest, SearchResult
from personavlm.memory_store.records import (
    ImageRef,
    MediaRef,
    UserKey,
)
from personavlm.memory_store.retrieval.nearest import Near
from personavlm.memory_store.retrieval.retriever import Retriever
from personavlm.memory_store.storage.settings import StorageSettings
from personavlm.memory_store.storage.shard import Shard
from personavlm.memory_store.stored_memories import StoredMemories
from personavlm.memory_store.stored_turns import StoredTurns
from personavlm.memory_store.times import utc_as_of, utc_now, utc_window

SESSION_GAP = timedelta(minutes=60)
CACHE_MB = 512.0  # of all users, at about 6 kB a turn with its vectors


class MemoryStore(StoredTurns, StoredMemories):
    """Everything that the platform remembers. There is no call that reads without a ``UserKey``."""

    def __init__(
        self,
        shard: Shard,
        session_gap: timedelta,
        clock: Callable[[], datetime],
        cache_mb: float,
        at_home: Callable[[UserKey], None],
    ) -> None:
        admission = Admission(at_home)
        cache = UserCache(shard.load, int(cache_mb * 2**20), admission.require, shard.directory.knows)
        super().__init__(shard, cache, clock, session_gap, LastErasures(shard.objects, clock))
        self._retriever = Retriever(shard, self._cache)
        self.eraser = Eraser(shard, self._cache, admission, self.last_erasures, clock)
        self.transfer = Transfer(shard, self._cache, self.eraser, clock)
        self.backups = Backups(shard, clock)
        self.expiry = Expiry(shard, self.eraser, clock)
        self.linker = Linker(shard, self._cache, self._retriever, clock)

    @classmethod
    def open(
        cls,
        uri: str | Path,
        *,
        text_encoder: TextEncoder,
        image_encoder: ImageEncoder,
        session_gap: timedelta = SESSION_GAP,
        clock: Callable[[], datetime] = utc_now,
        cache_mb: float = CACHE_MB,
        storage: StorageSettings = StorageSettings(),
        at_home: Callable[[UserKey], None] = lambda user: None,
    ) -> Self:
        """Open or create the store in a local folder or below ``s3://bucket/prefix``.

        What a crash left is repaired, and erasures that it interrupted are finished. ``cache_mb`` bounds the
        working sets in memory. ``at_home`` raises for users whose home is elsewhere. Errors: ``Shard.open``.
        """
        shard = Shard.open(uri, text_encoder, image_encoder, storage)
        store = cls(shard, session_gap, clock, cache_mb, at_home)
        store.eraser.resume()
        return store

    @classmethod
    def read_only(
        cls,
        uri: str | Path,
        *,
        text_encoder: TextEncoder,
        image_encoder: ImageEncoder,
        session_gap: timedelta = SESSION_GAP,
        cache_mb: float = CACHE_MB,
        storage: StorageSettings = StorageSettings(),
    ) -> Self:
        """Open a store to read it, while others may read it too and nobody writes it.

        Vectors that are missing are computed and kept in memory. Every write fails. Errors:
        ``Shard.read_only``.
        """
        shard = Shard.read_only(uri, text_encoder, image_encoder, storage)
        return cls(shard, session_gap, utc_now, cache_mb, at_home=lambda user: None)

    def close(self) -> None:
        """Move the journal into the tables and let another process open the store."""
        self._cache.clear()
        self._shard.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def evict(self) -> None:
        """Forget every working set; the next call for a user loads it again."""
        self._cache.clear()

    def limit_cache(self, megabytes: float) -> None:
        """Bound the working sets in memory anew."""
        self._cache.limit(int(megabytes * 2**20))

    def barrier(self) -> None:
        """Return once every call has ended that ``at_home`` admitted before."""
        self._cache.barrier()

    def search(self, user: UserKey, request: SearchRequest) -> SearchResult:
        """Find by the rules of ``search.py``. ValueError (naive time), NotFoundError (the query's image)."""
        request = replace(request, window=utc_window(request.window), as_of=utc_as_of(request.as_of))
        return self._retriever.search(user, request)

    def nearest(self, user: UserKey, vector: Vectors, k: int) -> list[Near]:
        """The k stored texts nearest to a unit vector ``(dim,)``, best first: vectors alone, no ranking."""
        return self._retriever.nearest(user, vector, k)

    def users(self) -> tuple[UserKey, ...]:
        """Everyone of whom anything is stored, in order of tenant and name."""
        return self._shard.directory.users()

    def pending(self) -> tuple[UserKey, ...]:
        """Everyone with turns that the update stage has not consolidated."""
        return self._shard.directory.pending()

    def index(self, user: UserKey) -> None:
        """Encode what has no vector yet and store the vectors, so that searches need not."""
        self._retriever.index(user)

    # media

    def put_image(
        self, user: UserKey, data: bytes, media_type: str, width: int, height: int, caption: str = ""
    ) -> ImageRef:
        """Store an image of ``width`` x ``height`` pixels; the same bytes are stored once.

        InvalidError unless it is PNG, JPEG or WebP by ``media_type``; the bytes are not decoded.
        """
        if media_type not in IMAGES:
            raise InvalidError(f"images are {', '.join(IMAGES)}, not {media_type!r}")
        with self._cache.hold(user):  # not while the user moves or is erased: nobody would look for it there
            sha256 = self._shard.media.put(user, data, media_type)
        return ImageRef(sha256, media_type, width, height, caption)

    def put_recording(self, user: UserKey, data: bytes, media_type: str, seconds: float = 0.0) -> MediaRef:
        """Store a video or a sound; the same bytes are stored once. They are not decoded.

        InvalidError for a type that is not kept.
        """
        if media_type not in RECORDINGS:
            raise InvalidError(f"videos and recordings are {', '.join(RECORDINGS)}, not {media_type!r}")
        with self._cache.hold(user):  # as above
            sha256 = self._shard.media.put(user, data, media_type)
        return MediaRef(sha256, media_type, seconds)

    def media(self, user: UserKey, sha256: str) -> tuple[bytes, str]:
        """The bytes of an image, video or recording of this user, and their media type. NotFoundError."""
        with self._cache.hold(user):
            return self._shard.media.get_with_type(user, sha256)

    def image(self, user: UserKey, sha256: str) -> bytes:
        """The bytes of one of this user's images. NotFoundError."""
        with self._cache.hold(user):
            return self._shard.media.get(user, sha256)

    def maintain(self) -> None:
        """Compact tables of many small pieces, sort those that have grown. Reads and writes go on."""
        self._shard.maintain()

    def check_writer(self) -> None:
        """LostEpochError when another process writes the store now: to be closed and opened anew."""
        self._shard.check_writer()

    def flush(self) -> None:
        """Move the journal into the tables now."""
        self._shard.writer.flush()

    def stats(self) -> StoreStats:
        """Sizes and counts."""
        return StoreStats.of(self._shard, self._cache)

    def usage(self) -> dict[str, Usage]:
        """What each tenant takes. Reads every row."""
        return usage_of(self._shard)
