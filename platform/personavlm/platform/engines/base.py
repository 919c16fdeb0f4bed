"""The one seam to language models.

An engine continues a `Conversation`, an append-only sequence of segments. All state of a trajectory
lives in the conversation, none in the engine, so that one engine can serve any number of users.
A *text engine* reads the segments' text. A *token engine* renders each segment once, keeps the ids in
``Conversation.tokens`` and only ever appends to them; what it sampled is never rendered at all.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from personavlm.memory_store.records import ImageRef, UserKey

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
    """Ids that a token engine rendered (``sampled`` false) or sampled (true).

    Sampled ids carry the version of the weights that they came from and, where asked for, as many
    log-probabilities, in nats and under the distribution they were drawn from. An image is one
    ``<|image_pad|>`` here, however many patches it has.
    """

    ids: tuple[int, ...]
    sampled: bool
    logprobs: tuple[float, ...] = ()
    version: str = ""

    def __post_init__(self) -> None:
        if self.logprobs and len(self.logprobs) != len(self.ids):
            raise ValueError(f"{len(self.ids)} ids came with {len(self.logprobs)} log-probabilities")


async def no_images(ref: ImageRef) -> bytes:
    """The loader of a conversation that has no images."""
    raise LookupError(f"this conversation cannot load images, but holds {ref.sha256}")


@dataclass(slots=True)
class Conversation:
    """Segments so far, and a token engine's ids for them. Append only.

    After each `Engine.stream` the caller appends what came of it as an assistant segment. ``rendered``
    counts the segments that ``tokens`` cover. ``adapter`` names the LoRA adapter that continues it.
    Conversations of users of different tenants share no cache.
    """

    segments: list[Segment]
    load_image: ImageLoader = no_images
    user: UserKey | None = None
    adapter: str = ""
    tokens: list[TokenSpan] = field(default_factory=list)
    rendered: int = 0

    def append(self, segment: Segment) -> None:
        """Add the next segment."""
        self.segments.append(segment)

    @property
    def ids(self) -> tuple[int, ...]:
        """All ids so far; empty with a text engine."""
        return tuple(one for span in self.tokens for one in span.ids)

    @property
    def images(self) -> tuple[ImageRef, ...]:
        """All images of the segments, in order."""
        return tuple(image for segment in self.segments for image in segment.images)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to continue.

    ``stop`` strings end the text and stay in it. ``json_schema`` constrains the output where the engine
    can. ``priority``: lower goes first (replies 0, updates 1). ``logprobs``, ``seed`` and ``reserve`` are
    for token engines, others ignore them: ``reserve`` tokens of the context stay free behind this reply.
    """

    max_tokens: int = 1024
    temperature: float = 0.0
    stop: tuple[str, ...] = ()
    json_schema: Mapping[str, Any] | None = None
    priority: int = 0
    logprobs: bool = False
    seed: int | None = None
    reserve: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """The next piece of text. The last chunk carries ``finish_reason`` and the token counts.

    ``cached_tokens`` are those of the prompt that the engine had computed before.
    """

    text: str
    finish_reason: Literal["", "stop", "length"] = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole continuation, as its last `Chunk` counts it."""

    text: str
    finish_reason: Literal["", "stop", "length"]
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int


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

    async def check_health(self) -> None:
        """Raises `EngineError` where the engine cannot answer any more and has to be replaced."""
        ...

    async def close(self) -> None:
        """Release connections and devices."""
        ...


async def complete(engine: Engine, conversation: Conversation, sampling: Sampling) -> Completion:
    """Run `Engine.stream` to its end."""
    chunks: Sequence[Chunk] = [chunk async for chunk in engine.stream(conversation, sampling)]
    last = chunks[-1] if chunks else Chunk("")
    text = "".join(chunk.text for chunk in chunks)
    return Completion(
        text, last.finish_reason, last.prompt_tokens, last.completion_tokens, last.cached_tokens
    )
