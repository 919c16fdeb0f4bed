"""Lines of an archive: what each table's JSON object holds, and what a line must be to be taken in."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
)

from personavlm.memory_store.records import MemoryKind, SemanticCategory
from personavlm.memory_store.storage.tables import NO_MEMORY, Row
from personavlm.memory_store.times import utc

Int8 = Annotated[int, Field(ge=-(2**7), lt=2**7)]
Int32 = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Count = Annotated[int, Field(ge=0, lt=2**53)]
Time = Annotated[AwareDatetime, AfterValidator(utc)]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,200}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Strings = tuple[str, ...]


class Line(BaseModel):
    """One row. Numbers are numbers and texts are texts: nothing is converted, nothing unknown is let pass."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, val_json_bytes="base64", allow_inf_nan=False
    )

    def row(self) -> Row:
        """The columns of the row beside its owner's."""
        return self.model_dump()

    def unique(self) -> tuple[tuple[str, object], ...]:
        """Fields that no other line of the table may repeat."""
        return ()


class ImageValue(Line):
    """An image that a line refers to; its bytes are ``media/<sha256>`` in the archive."""

    sha256: Sha256
    media_type: str
    width: Int32
    height: Int32
    caption: str


class CropValue(Line):
    """Out of which image of a turn an image of a memory was cut."""

    sha256: Sha256
    source: Sha256
    box: tuple[Int32, Int32, Int32, Int32]


class MediaValue(Line):
    """A video or a recording of a turn; its bytes are ``media/<sha256>`` in the archive."""

    sha256: Sha256
    media_type: str
    seconds: float


class TurnLine(Line):
    """A line of ``turns``."""

    id: Id
    index: Count
    session: str
    event_time: Time
    recorded_at: Time
    user_text: str
    assistant_text: str
    images: tuple[ImageValue, ...]
    thinking: str
    model: str
    client_id: str
    utc_offset_minutes: Int32
    attachments: tuple[MediaValue, ...] = ()

    def unique(self) -> tuple[tuple[str, object], ...]:
        """Its id, and its place among the turns."""
        return ("id", self.id), ("index", self.index)


class MarkLine(Line):
    """A line of a table of memories that says only that a step was applied and wrote nothing."""

    sequence: Count
    id: Literal[""]
    source: str

    def unique(self) -> tuple[tuple[str, object], ...]:
        """Its place among the rows."""
        return (("sequence", self.sequence),)


class MemoryLine(Line):
    """A version of a memory: what the four kinds have in common."""

    sequence: Count
    id: Id
    version: Int32
    text: str
    event_time: Time
    revised_at: Time
    recorded_at: Time
    valid_to: Time | None = None
    superseded_by: str
    deleted: bool
    evidence: Strings
    reason: str
    source: str

    def unique(self) -> tuple[tuple[str, object], ...]:
        """Its place among the rows, and which version of what it is."""
        return ("sequence", self.sequence), ("version", (self.id, self.version))


class CoreLine(MemoryLine):
    """A line of ``core``."""

    block: Literal["human", "persona"]
    key: str


class SemanticLine(MemoryLine):
    """A line of ``semantic``."""

    category: SemanticCategory
    keywords: Strings
    images: tuple[ImageValue, ...]
    crops: tuple[CropValue, ...] = ()


class EpisodicLine(MemoryLine):
    """A line of ``episodic``."""

    keywords: Strings
    session: str
    end_time: Time


class ProceduralLine(MemoryLine):
    """A line of ``procedural``."""

    key: str


class ProfileLine(Line):
    """A line of ``profile``."""

    version: Int32
    traits: tuple[float, float, float, float, float]
    consent: bool
    cause: Literal["start", "inferred", "reset", "consent"]
    inferred: tuple[Int8, ...]
    smoothing: float
    evidence: Strings
    source: str
    event_time: Time
    recorded_at: Time

    def unique(self) -> tuple[tuple[str, object], ...]:
        """Which version it is."""
        return (("version", self.version),)


class ProgressLine(Line):
    """A line of ``progress``."""

    sequence: Count
    turns: Count
    consolidated: Count

    def unique(self) -> tuple[tuple[str, object], ...]:
        """Its place among the rows."""
        return (("sequence", self.sequence),)


class LinkLine(Line):
    """A line of ``links``."""

    episode: Id
    related: Id
    shared: Strings
    score: float
    source: str
    event_time: Time
    recorded_at: Time


class VectorLine(Line):
    """A line of a table of vectors: little-endian float32, and of the tokens int32, int8 and int32."""

    id: str
    field: str
    digest: str
    model_id: str
    vector: bytes
    token_ids: bytes | None = None
    token_vectors: bytes | None = None
    sentences: bytes | None = None

    def row(self) -> Row:
        """The columns, the vector as an array."""
        return self.model_dump() | {"vector": np.frombuffer(self.vector, "<f4")}

    def misfit(self, dim: int, token_dim: int) -> str:
        """What keeps it from being a vector of this many numbers, its tokens' of so many; "" if nothing."""
        if len(self.vector) != 4 * dim or not np.isfinite(np.frombuffer(self.vector, "<f4")).all():
            return f"vector: not {dim} numbers"
        tokens = (self.token_ids, self.token_vectors, self.sentences)
        if tokens == (None, None, None):
            return ""
        if not all(isinstance(part, bytes) and len(part) % 4 == 0 for part in (tokens[0], tokens[2])):
            return "token_ids, sentences: not both whole numbers of four bytes"
        count = len(self.token_ids or b"") // 4
        if len(self.token_vectors or b"") != count * token_dim:
            return f"token_vectors: not {token_dim} numbers for each of {count} tokens"
        begins = np.frombuffer(self.sentences or b"", "<i4")
        if count and not (len(begins) and begins[0] == 0 and (np.diff(begins) > 0).all()):
            return "sentences: do not ascend from 0"
        return "sentences: begin after the last token" if count and begins[-1] >= count else ""


def _is_mark(line: Any) -> str:  # noqa: ANN401 - a line before it is validated may be anything
    return "mark" if isinstance(line, Mapping) and line.get("id") == NO_MEMORY else "memory"


def _memories(line: type[MemoryLine]) -> TypeAdapter[Line]:
    either = Annotated[MarkLine, Tag("mark")] | Annotated[line, Tag("memory")]  # type: ignore[valid-type]
    return TypeAdapter(Annotated[either, Discriminator(_is_mark)])


LINES: Mapping[str, TypeAdapter[Line]] = {
    "turns": TypeAdapter(TurnLine),
    MemoryKind.CORE: _memories(CoreLine),
    MemoryKind.SEMANTIC: _memories(SemanticLine),
    MemoryKind.EPISODIC: _memories(EpisodicLine),
    MemoryKind.PROCEDURAL: _memories(ProceduralLine),
    "profile": TypeAdapter(ProfileLine),
    "progress": TypeAdapter(ProgressLine),
    "links": TypeAdapter(LinkLine),
}
"""By table, in the order in which they are written and read."""
VECTOR_LINE: TypeAdapter[VectorLine] = TypeAdapter(VectorLine)
