"""Long-term memory of many users in LanceDB: one timeline per user, every version kept."""

from typing import TYPE_CHECKING

from personavlm.memory_store.context import estimate_tokens
from personavlm.memory_store.encoder import ImageEncoder, TextEncoder, Vectors
from personavlm.memory_store.errors import (
    BusyError,
    DamagedError,
    ErasedError,
    InUseError,
    InvalidError,
    LostEpochError,
    MovedError,
    NotFoundError,
    OutOfOrderError,
    StoreError,
    UnsafeStorageError,
)
from personavlm.memory_store.queries import (
    AsOf,
    Context,
    Hit,
    SearchRequest,
    SearchResult,
    ThreadEntry,
    TimelineEntry,
    Window,
)
from personavlm.memory_store.records import (
    NEUTRAL,
    TRAITS,
    Add,
    AnyMemory,
    CoreMemory,
    Crop,
    Delete,
    EpisodeLink,
    EpisodicMemory,
    ImageRef,
    MediaRef,
    Memory,
    MemoryKind,
    Operation,
    ProceduralMemory,
    Profile,
    Progress,
    SemanticCategory,
    SemanticMemory,
    Turn,
    TurnDraft,
    Update,
    UserKey,
)
from personavlm.memory_store.times import utc, utc_now

if TYPE_CHECKING:
    from personavlm.memory_store.store import MemoryStore

__all__ = [
    "NEUTRAL",
    "TRAITS",
    "Add",
    "AnyMemory",
    "AsOf",
    "BusyError",
    "Context",
    "CoreMemory",
    "Crop",
    "DamagedError",
    "Delete",
    "EpisodeLink",
    "EpisodicMemory",
    "ErasedError",
    "Hit",
    "ImageEncoder",
    "ImageRef",
    "InUseError",
    "InvalidError",
    "LostEpochError",
    "MediaRef",
    "Memory",
    "MemoryKind",
    "MemoryStore",
    "MovedError",
    "NotFoundError",
    "Operation",
    "OutOfOrderError",
    "ProceduralMemory",
    "Profile",
    "Progress",
    "SearchRequest",
    "SearchResult",
    "SemanticCategory",
    "SemanticMemory",
    "StoreError",
    "TextEncoder",
    "ThreadEntry",
    "TimelineEntry",
    "Turn",
    "TurnDraft",
    "UnsafeStorageError",
    "Update",
    "UserKey",
    "Vectors",
    "Window",
    "estimate_tokens",
    "utc",
    "utc_now",
]


def __getattr__(name: str) -> object:
    """`MemoryStore` on first use: who only handles records needs no LanceDB in memory."""
    if name == "MemoryStore":
        from personavlm.memory_store.store import MemoryStore

        return MemoryStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
