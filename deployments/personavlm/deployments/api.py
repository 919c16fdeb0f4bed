"""The HTTP schema: OpenAI's chat completions as far as we serve them, and our own resources.

What a client sends is validated here and nowhere else; fields that we cannot honour are refused by
name instead of being ignored.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

USER_PATTERN = r"^[A-Za-z0-9_.@:+-]{1,128}$"
UserId = Annotated[str, Field(pattern=USER_PATTERN, description="The end user, within your tenant.")]


class Body(BaseModel):
    """A request body whose unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class ImageUrl(Body):
    """A data URL (PNG, JPEG or WebP); remote URLs only where the service allows them."""

    url: str
    detail: Literal["auto", "low", "high"] = "auto"


class TextPart(Body):
    type: Literal["text"]
    text: str


class ImagePart(Body):
    type: Literal["image_url"]
    image_url: ImageUrl


class VideoUrl(Body):
    """A data URL (MP4, QuickTime or WebM); remote URLs only where the service allows them."""

    url: str


class VideoPart(Body):
    """A video, of which frames are looked at. Needs the service's extra `video`."""

    type: Literal["video_url"]
    video_url: VideoUrl


class InputAudio(Body):
    """A recording in Base64."""

    data: str
    format: Literal["wav", "mp3", "ogg", "flac", "m4a", "webm"]


class AudioPart(Body):
    """A recording, whose words become part of the message. Needs a transcriber."""

    type: Literal["input_audio"]
    input_audio: InputAudio


Part = Annotated[TextPart | ImagePart | VideoPart | AudioPart, Field(discriminator="type")]


class ChatMessage(BaseModel):
    """One message of the request. Fields of earlier assistant messages are not looked at."""

    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if isinstance(part, TextPart))
        return self.content or ""

    @property
    def media(self) -> list[ImagePart | VideoPart | AudioPart]:
        parts = self.content if isinstance(self.content, list) else []
        return [part for part in parts if not isinstance(part, TextPart)]


def _one(value: int | None) -> int | None:
    if value not in (None, 1):
        raise ValueError("only one reply is given to a message; leave n out or set it to 1")
    return value


def _absent(value: object) -> None:
    if value:
        raise ValueError("not supported by this service; leave it out")


Unsupported = Annotated[Any, AfterValidator(_absent)]


class StreamOptions(Body):
    include_usage: bool = False
    include_obfuscation: bool = False


class ChatMetadata(BaseModel):
    """What a client may say about a message; all values are strings, as in OpenAI's API.

    Keys that mean nothing to us belong to the client and are left alone.
    """

    model_config = ConfigDict(extra="ignore")

    event_time: AwareDatetime | None = None
    """When the message was written, ISO 8601 with offset. Needs a key that may replay."""
    allow_past: bool = False
    """Admit an `event_time` before the user's newest turn."""
    remember: bool = True
    """False: answer from memory without storing the turn or learning from it. Needs a replay key."""
    trace: bool = False
    """Report steps, windows and memory ids."""
    reasoning: bool = False
    """Stream the thoughts as `reasoning_content`."""


class ChatRequest(BaseModel):
    """`POST /v1/chat/completions`. The newest user message is the new turn.

    Earlier messages are not read again: history is the platform's business. Sampling fields are
    accepted for compatibility; the operator's configuration decides.
    """

    model_config = ConfigDict(extra="ignore")

    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    user: UserId
    stream: bool = False
    stream_options: StreamOptions | None = None
    metadata: ChatMetadata = ChatMetadata()
    n: Annotated[int | None, AfterValidator(_one)] = None
    tools: Unsupported = None
    functions: Unsupported = None
    response_format: Unsupported = None
    audio: Unsupported = None


class PromptTokens(BaseModel):
    """`cached_tokens`: those of the prompt that the engine had computed before."""

    cached_tokens: int


class Usage(BaseModel):
    """Tokens of all steps of the reply together."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokens


class TraceWindow(BaseModel):
    start: datetime | None
    end: datetime | None


class TraceStep(BaseModel):
    """One step of the trajectory."""

    action: Literal["retrieve", "answer"]
    thinking: str
    keywords: str
    window: TraceWindow
    found: list[str]
    outside_window: list[str]
    widened: list[str]
    repaired: str
    engine_ms: float
    search_ms: float


class Evidence(BaseModel):
    """A memory or turn that a step found, and the raw turns behind it."""

    id: str
    kind: str
    time: datetime
    text: str
    turn_ids: list[str]
    client_ids: list[str]


class Trace(BaseModel):
    """The `personavlm` object of a reply. Everything but `turn_id` needs `metadata.trace`."""

    turn_id: str | None
    steps: list[TraceStep] = []
    evidence: list[Evidence] = []
    omitted_turns: int = 0
    timings_ms: dict[str, float] = {}
    model_version: str = ""
    replica: str = ""
    """Which policy replica answered."""


class ReplyMessage(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str
    reasoning_content: str | None = None


class ReplyChoice(BaseModel):
    index: int = 0
    message: ReplyMessage
    finish_reason: Literal["stop"] = "stop"


class ChatCompletion(BaseModel):
    """The whole reply."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ReplyChoice]
    usage: Usage
    personavlm: Trace


class Delta(BaseModel):
    role: Literal["assistant"] | None = None
    content: str | None = None
    reasoning_content: str | None = None


class ChunkChoice(BaseModel):
    index: int = 0
    delta: Delta
    finish_reason: Literal["stop"] | None = None


class ChatCompletionChunk(BaseModel):
    """A piece of a streamed reply; the last one carries `personavlm` and, if asked for, `usage`."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None
    personavlm: Trace | None = None


class Model(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "personavlm"
    version: str = ""
    """Which weights answer, where somebody has said."""
    description: str


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


class ErrorDetail(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorReply(BaseModel):
    """OpenAI's error shape."""

    error: ErrorDetail
