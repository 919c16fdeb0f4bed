"""The one seam to language models.

An engine continues a `Conversation`, an append-only sequence of segments. All state of a trajectory
lives in the conversation, none in the engine, so that one engine can serve any number of users.
A *text engine* reads the segments' text. A *token engine* renders each segment once, keeps the ids in
``Conversation.tokens`` and only ever appends to them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from personavlm.memory_store.records import ImageRef

Role = Literal["system", "user", "assistant"]
ImageLoader = Callable[[ImageRef], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Segment:
    """One message. Images come before the text; they are references, never pixels."""

    role: Role
    text: str
    images: tuple[ImageRef, ...] = ()


@dataclass(frozen=True, slots=True)
class TokenSpan:
    """Ids that a token engine rendered (``sampled`` false) or sampled (true, with log-probabilities)."""

    ids: tuple[int, ...]
    sampled: bool
    logprobs: tuple[float, ...] = ()


async def no_images(ref: ImageRef) -> bytes:
    """The loader of a conversation that has no images."""
    raise LookupError(f"this conversation cannot load images, but holds {ref.sha256}")


@dataclass(slots=True)
class Conversation:
    """Segments so far, and a token engine's ids for them. Append only."""

    segments: list[Segment]
    load_image: ImageLoader = no_images
    tokens: list[TokenSpan] = field(default_factory=list)

    def append(self, segment: Segment) -> None:
        """Add the next segment."""
        self.segments.append(segment)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to continue.

    ``stop`` strings end the text and stay in it. ``json_schema`` constrains the output where the engine
    can. ``priority``: lower goes first (replies 0, updates 1).
    """

    max_tokens: int = 1024
    temperature: float = 0.0
    stop: tuple[str, ...] = ()
    json_schema: Mapping[str, Any] | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """The next piece of text. The last chunk carries ``finish_reason`` and the token counts."""

    text: str
    finish_reason: Literal["", "stop", "length"] = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole continuation."""

    text: str
    finish_reason: Literal["", "stop", "length"]
    prompt_tokens: int
    completion_tokens: int


class Engine(Protocol):
    """A language model. ``stream`` may be called any number of times at once."""

    @property
    def model(self) -> str:
        """The name under which clients ask for it."""
        ...

    @property
    def version(self) -> str:
        """Which weights answer; stored with every turn. Empty where nobody has said."""
        ...

    @property
    def description(self) -> str:
        """One sentence for `/v1/models`: what answers here."""
        ...

    def stream(self, conversation: Conversation, sampling: Sampling) -> AsyncGenerator[Chunk, None]:
        """Continue the conversation. Raises `EngineError`. Closing the generator cancels the work."""
        ...

    async def close(self) -> None:
        """Release connections and devices."""
        ...


async def complete(engine: Engine, conversation: Conversation, sampling: Sampling) -> Completion:
    """Run `Engine.stream` to its end."""
    chunks: Sequence[Chunk] = [chunk async for chunk in engine.stream(conversation, sampling)]
    last = chunks[-1] if chunks else Chunk("")
    text = "".join(chunk.text for chunk in chunks)
    return Completion(text, last.finish_reason, last.prompt_tokens, last.completion_tokens)
