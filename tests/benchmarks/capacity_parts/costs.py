"""What a turn costs, as measured through the real service, and where it was measured."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

ROLES = ("ingress", "policy", "memory")


class Point(BaseModel):
    """What was seen at one rate of arrivals: turns a second, and latencies of turns in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rate: float = Field(gt=0)
    p50_s: float = Field(gt=0)
    p95_s: float = Field(gt=0)


class Costs(BaseModel):
    """Of one turn with the rules engine, its update included; on ``cores`` processors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cores: int = Field(ge=1)
    cpu_ms: dict[str, float]
    """By role, of answering; ``other`` is proxy, client and Ray itself."""
    update_cpu_ms: float = Field(ge=0)
    """Of the memory actor, after the reply."""
    alone_s: float = Field(gt=0)
    """A turn when nobody else talks, the median."""
    stored_bytes: float = Field(gt=0)
    """On the disk, by turn, once tables were joined."""
    rows: float = Field(gt=0)
    """Of the largest table, by turn."""
    cached_bytes: float = Field(gt=0)
    """In memory, by turn of a user who is active."""
    prompt_tokens: float = Field(gt=0)
    cached_prompt_tokens: float = Field(ge=0)
    """Of those before, which a prefix cache need not compute again; 0 with the rules engine."""
    completion_tokens: float = Field(gt=0)
    puts: float = Field(ge=0)
    """Requests to object storage that write or list, by turn, when nothing is committed together."""
    gets: float = Field(ge=0)
    commit_s: float = Field(gt=0)
    """One commit there."""
    points: list[Point] = []

    @classmethod
    def load(cls, file: Path) -> Costs:
        """Figures of an earlier run: the file itself, or a report's JSON that holds them as ``costs``."""
        data = json.loads(file.read_text(encoding="utf-8"))
        return cls.model_validate(data.get("figures", {}).get("costs", data))

    @property
    def all_cpu_ms(self) -> float:
        """Of a turn and its update, everything."""
        return sum(self.cpu_ms.values()) + self.update_cpu_ms
