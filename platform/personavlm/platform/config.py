"""One configuration for the whole service. Unknown keys are refused; every field has a default."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

import platformdirs
import yaml
from pydantic import Field, InstanceOf, ValidationError, field_validator, model_validator

from personavlm.platform.config_section import Section
from personavlm.platform.engine_config import EngineConfig, RulesEngineConfig, VllmEngineConfig
from personavlm.platform.errors import CommandError
from personavlm.platform.media_config import AudioConfig, ImagesConfig, NoTranscriberConfig, VideoConfig
from personavlm.platform.prompts.render import PromptPack
from personavlm.platform.serving_config import Amount, LimitsConfig, PolicyConfig

DATA_DIR = Path(platformdirs.user_data_dir("personavlm"))


class ConfigError(CommandError):
    """The configuration file cannot be used; the message names the field and the problem."""


class MemoryConfig(Section):
    """The memory actors and their store."""

    uri: str = str(DATA_DIR / "memory")
    """A local folder, or s3://bucket/prefix or gs://bucket/prefix (needs the extra `s3`)."""
    durability: Literal["journal", "commit"] | None = None
    """What acknowledges a write: the journal on a local disk, or LanceDB's commit. By default the journal
    for a folder and the commit for object storage, where a journal on the machine could be lost with it."""
    storage_options: dict[str, str] = Field({})
    """LanceDB's `storage_options` of the object store, such as `aws_endpoint`. Credentials belong in the
    environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)."""
    release: str | None = Field(None, min_length=1)
    """Of a store in a bucket: the name of the service, such as namespace/name. A new cluster of the same
    release takes over from the old one; one of another, or of none, is refused while the old one lives."""
    shards: int = Field(2, ge=1, le=1024)
    """Into how many shards a new store is divided, each for about a million rows a table. A store keeps
    its own number; `personavlm store grow` adds more while it serves."""
    actors: int = Field(2, ge=1, le=1024)
    """Processes that own the shards between them."""
    cpus_per_actor: float = Field(0.25, ge=0)
    resources: dict[str, Amount] = Field({})
    """Ray's custom resources of each actor, by which its node is chosen: {name: amount}."""
    cache_mb: float = Field(512, ge=1)
    """Memory for the working sets of users in each actor."""
    hot_turns: int = Field(20_000, ge=100)
    """Of a user with more turns than this, the older ones stay on the disk, and searches there are slower."""
    master_key_env: str | None = None
    """Environment variable with the key that encrypts memory at rest: 32 bytes, Base64 or hexadecimal."""
    master_key_file: Path | None = None
    """The same in a file that only its owner may read."""
    session_gap_minutes: float = Field(60, gt=0)
    """A pause of this length or more ends a session."""
    idle_check_s: float = Field(30, gt=0)
    """How often sessions of users who do not return are looked for."""
    maintenance_s: float = Field(60, gt=0)
    """How often tables are looked at for compaction."""
    retention_days: dict[
        Literal["turns", "core", "semantic", "episodic", "procedural", "profile"],
        Annotated[float, Field(gt=0)],
    ] = Field({})
    """Days after which turns, memories of a kind, or profile versions are erased; the others are kept."""
    context_tokens: int = Field(2000, ge=100)
    """Budget of the open session in the first prompt; older turns of it stay searchable."""

    @property
    def session_gap(self) -> timedelta:
        return timedelta(minutes=self.session_gap_minutes)

    @property
    def is_remote(self) -> bool:
        """Whether the store is in a bucket."""
        return "://" in self.uri

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.is_remote and self.durability == "journal":
            raise ValueError("durability 'journal' needs a local folder as uri; leave it out or say 'commit'")
        if self.master_key_env and self.master_key_file:
            raise ValueError("set master_key_env or master_key_file, not both")
        return self


class AgentConfig(Section):
    """The response stage."""

    max_retrievals: int = Field(3, ge=0, le=10)
    max_tokens: int = Field(1024, ge=16)
    """Longest step of the model, in its tokens."""
    temperature: float = Field(0, ge=0, le=2)


class UpdateConfig(Section):
    """The update stage."""

    personality_rule: Literal["all_neutral", "per_trait"] = "all_neutral"
    """Which neutral scores PEM skips: only five at once (the paper), or each by itself (its code)."""


class ServiceConfig(Section):
    """The HTTP front."""

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=1, le=65535)
    metrics_port: int | None = Field(None, ge=1, le=65535)
    """Where Prometheus finds the metrics of a cluster that this starts; a free port by default."""
    otlp_endpoint: str | None = Field(None, pattern="^https?://.+")
    """Where traces are sent, such as http://localhost:4318/v1/traces (needs the extra `otel`)."""
    log_user_ids: bool = False
    """Name users in the log by their ids. Off: by a hash of tenant and id."""
    log_text: bool = False
    """Write messages, replies and whole errors to the log. Off: nothing that users or models wrote."""
    keys_file: Path = DATA_DIR / "keys.json"
    """API keys, hashed. `personavlm keys create` writes it."""
    ingress_replicas: int = Field(1, ge=1)
    cpus_per_replica: float = Field(0.25, ge=0)
    """Of the ingress."""
    resources: dict[str, Amount] = Field({})
    """Ray's custom resources of each ingress replica, by which its node is chosen: {name: amount}."""
    request_timeout_s: float = Field(300, gt=0)
    """How long a message may take, waiting included, if its client does not say (X-Request-Timeout)."""
    max_request_timeout_s: float = Field(600, gt=0)
    """The longest that a client may ask for."""
    max_body_mb: float = Field(24, gt=0)
    max_image_mb: float = Field(8, gt=0)
    max_recording_mb: float = Field(16, gt=0)
    """Of one video or one recording; in a request it takes a third more, within `max_body_mb`."""
    allow_remote_images: bool = False
    """Fetch image and video URLs that clients send. Off: the service makes no requests for clients."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.request_timeout_s > self.max_request_timeout_s:
            raise ValueError("request_timeout_s is above max_request_timeout_s")
        return self


class Config(Section):
    """Everything that `personavlm serve` can be told."""

    service: ServiceConfig = ServiceConfig()
    policy: PolicyConfig = PolicyConfig()
    limits: LimitsConfig = LimitsConfig()
    memory: MemoryConfig = MemoryConfig()
    engine: EngineConfig = RulesEngineConfig()
    agent: AgentConfig = AgentConfig()
    updates: UpdateConfig = UpdateConfig()
    prompts: Path | InstanceOf[PromptPack] | None = None
    """A folder of templates, the wording of all prompts; without it, ours. `personavlm prompts export`
    writes ours to start from. Where the service starts, what is in the folder takes the folder's place."""
    images: ImagesConfig = ImagesConfig()
    video: VideoConfig = VideoConfig()
    audio: AudioConfig = NoTranscriberConfig()
    ray_address: str | None = None
    """An existing cluster ("auto" or host:port); none starts one on this machine."""

    @field_validator("prompts", mode="before")
    @classmethod
    def _a_folder(cls, value: object) -> object:
        if value is None or isinstance(value, str | Path | PromptPack):
            return value
        raise ValueError("must be the path of a folder of templates")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.ray_address and self.service.metrics_port:
            raise ValueError(
                "service.metrics_port is for a cluster that is started here; give the one at ray_address its "
                "port by `ray start --metrics-export-port`, and leave the field out"
            )
        return self

    @model_validator(mode="after")
    def _gpus_for_the_engine(self) -> Self:
        divided = self.engine.tensor_parallel if isinstance(self.engine, VllmEngineConfig) else 1
        if divided > 1 and self.policy.gpus != divided:
            raise ValueError(f"policy.gpus is {self.policy.gpus:g}; engine.tensor_parallel needs {divided}")
        return self

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a YAML file. Raises `ConfigError` with one line per problem."""
        try:
            data = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"{path}: cannot be read as YAML: {error}") from error
        return cls.parse({} if data is None else data, str(path))

    @classmethod
    def parse(cls, data: object, source: str) -> Self:
        """Check what came from ``source``. Raises `ConfigError` with one line per problem."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            problems = (f"{source}: {_where(e['loc'])}: {e['msg']}" for e in error.errors())
            raise ConfigError("\n".join(problems)) from error


def _where(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "the file"
