"""The part of the configuration that names the language model."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from personavlm.platform.config_section import Section


class AnyEngineConfig(Section):
    """What all engines have in common."""

    @property
    def allowed_adapters(self) -> dict[str, frozenset[str]]:
        """Adapters by the name that clients ask for, with the tenants who may; none means everybody."""
        return {}


class RulesEngineConfig(AnyEngineConfig):
    """No language model: patterns. Needs nothing, promises little."""

    kind: Literal["rules"] = "rules"


class OpenAiEngineConfig(AnyEngineConfig):
    """Any server with an OpenAI-compatible chat endpoint."""

    kind: Literal["openai"]
    base_url: str
    """For example http://localhost:8001/v1."""
    model: str
    """Name of the model at that server; also the name under which this service offers it."""
    api_key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the server's key; it may be unset where the server wants none."""
    version: str = ""
    """Which weights that server has, in your own words; stored with every turn that they answered."""
    timeout_s: float = Field(60, gt=0)
    """Longest wait for one reply, and for each piece of it."""

    def api_key(self) -> SecretStr:
        """The key from the environment; empty where the variable is unset."""
        return SecretStr(os.environ.get(self.api_key_env, ""))


class LocalModelConfig(AnyEngineConfig):
    """A Qwen2.5-VL checkpoint that this service runs itself, in its policy replicas."""

    model: str
    """A folder, or a name of the model hub such as ClareNie/PersonaVLM, which downloads it."""
    name: str | None = Field(None, min_length=1)
    """The name under which clients ask for it; the last part of ``model`` by default."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    context_tokens: int = Field(16_384, ge=256)
    """Longest conversation with its reply, in tokens."""
    max_images: int = Field(8, ge=0)
    """Most images in one conversation."""
    max_pixels: int = Field(230_400, ge=4 * 28 * 28)
    """Larger images are shrunk to this many pixels; 28 x 28 of them are one token. 230,400 is what
    PersonaVLM was trained with."""

    @property
    def served_model(self) -> str:
        """The name under which clients ask for it."""
        return self.name or PurePath(self.model.rstrip("/")).name


class TransformersEngineConfig(LocalModelConfig):
    """The model in PyTorch through transformers: small models, no GPU needed (extra `train`)."""

    kind: Literal["transformers"]
    device: str = "cpu"
    max_batch: int = Field(8, ge=1)
    """Most conversations that are continued at once; the others wait."""


class AdapterConfig(Section):
    """A LoRA adapter that clients ask for by its name."""

    path: str
    """A folder in PEFT's format, or a name of the model hub."""
    tenants: frozenset[str] = frozenset()
    """Who may ask for it; empty means everybody."""


class VllmEngineConfig(LocalModelConfig):
    """The model in vLLM: production, GPUs (extra `vllm`)."""

    kind: Literal["vllm"]
    tensor_parallel: int = Field(1, ge=1)
    """Over how many GPUs each replica divides the model."""
    gpu_memory: float = Field(0.9, gt=0, le=1)
    """Share of each GPU's memory that one replica may use."""
    kv_cache_mb: int | None = Field(None, ge=16)
    """Memory of the key-value cache; by default whatever ``gpu_memory`` leaves."""
    max_batch: int = Field(64, ge=1)
    """Most conversations that are continued in one step."""
    compile: bool = True
    """Compile and capture graphs at start: minutes longer to start, faster afterwards."""
    adapters: dict[str, AdapterConfig] = Field({})
    """By the name that clients ask for."""
    adapter_slots: int = Field(4, ge=1)
    """How many adapters are in the GPU's memory at once; the one used least recently gives way."""
    adapter_rank: Literal[8, 16, 32, 64, 128, 256] = 64
    """The largest rank of an adapter."""
    update_slots: int = Field(4, ge=1)
    """Most steps of the update stage that one replica works on at once."""

    @property
    def allowed_adapters(self) -> dict[str, frozenset[str]]:
        return {name: adapter.tenants for name, adapter in self.adapters.items()}


EngineConfig = Annotated[
    RulesEngineConfig | OpenAiEngineConfig | TransformersEngineConfig | VllmEngineConfig,
    Field(discriminator="kind"),
]
