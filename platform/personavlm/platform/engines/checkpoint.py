"""What of a checkpoint is read without loading the model: configuration, tokenizer, sizes of images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer

from personavlm.platform.errors import CheckpointError

ARCHITECTURE = "Qwen2_5_VLForConditionalGeneration"
SPECIAL = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|image_pad|>", "<|vision_end|>")
MIN_IMAGE_TOKENS = 4
SAMPLES, SAMPLE_BYTES = 64, 16_384
NEEDED = ("config.json", "tokenizer.json", "preprocessor_config.json")


class _Loose(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class VisionConfig(_Loose):
    """Of ``config.json``: how an image becomes patches."""

    patch_size: int = 14
    spatial_merge_size: int = 2


class TextConfig(_Loose):
    """Of ``config.json``: what decides the size of the model and of its cache."""

    vocab_size: int = Field(gt=0)
    hidden_size: int = Field(gt=0)
    num_hidden_layers: int = Field(gt=0)
    num_attention_heads: int = Field(gt=0)
    num_key_value_heads: int = Field(gt=0)
    max_position_embeddings: int = Field(gt=0)


class ModelConfig(_Loose):
    """``config.json``, in the form of transformers 5 (``text_config``) or before (all on one level)."""

    architectures: tuple[str, ...] = ()
    vision_config: VisionConfig = VisionConfig()
    text_config: TextConfig
    dtype: str | None = None
    tie_word_embeddings: bool = False

    @classmethod
    def read(cls, data: Any) -> ModelConfig:  # noqa: ANN401 - whatever the file holds
        """Raises `ValueError`, of which `ValidationError` is one."""
        if not isinstance(data, dict):
            raise ValueError("it holds no object")
        text = data.get("text_config") or {key: data[key] for key in TextConfig.model_fields if key in data}
        dtype = data.get("dtype") or data.get("torch_dtype")
        return cls.model_validate(data | {"text_config": text, "dtype": dtype})


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder with a Qwen2.5-VL model, its weights not loaded."""

    path: Path
    config: ModelConfig
    tokenizer: Tokenizer
    special: dict[str, int]

    @classmethod
    def open(cls, name_or_path: str) -> Checkpoint:
        """Read a folder, or a model of the hub by its name, which downloads it.

        Raises `CheckpointError` that names the file and what is wrong with it.
        """
        path = locate(name_or_path)
        missing = [name for name in NEEDED if not (path / name).is_file()]
        if missing:
            raise CheckpointError(
                f"{path} lacks {', '.join(missing)}; copy them from the model that it was trained from"
            )
        config = _config(path / "config.json")
        tokenizer = _tokenizer(path / "tokenizer.json")
        numbers = {token: tokenizer.token_to_id(token) for token in SPECIAL}
        special = {token: number for token, number in numbers.items() if number is not None}
        absent = [token for token in SPECIAL if token not in special]
        if absent:
            raise CheckpointError(f"{path / 'tokenizer.json'} does not know {', '.join(absent)}")
        return cls(path, config, tokenizer, special)

    def require_context(self, tokens: int) -> None:
        """Raises `CheckpointError` where the model was not made for conversations of this length."""
        if tokens > (most := self.config.text_config.max_position_embeddings):
            raise CheckpointError(f"{self.path} takes {most} tokens; engine.context_tokens asks for {tokens}")

    @property
    def patch_pixels(self) -> int:
        """Edge in pixels of the square that one image token stands for."""
        return self.config.vision_config.patch_size * self.config.vision_config.spatial_merge_size

    @property
    def end(self) -> int:
        """The id that ends a message."""
        return self.special["<|im_end|>"]

    def banned(self) -> tuple[int, ...]:
        """Ids that a reply must not hold: special ones but the end, and rows that pad the vocabulary."""
        added = self.tokenizer.get_added_tokens_decoder()
        special = {number for number, token in added.items() if token.special}
        padding = range(
            self.tokenizer.get_vocab_size(with_added_tokens=True), self.config.text_config.vocab_size
        )
        return tuple(sorted((special | set(padding)) - {self.end}))

    def processor_limits(self, max_pixels: int) -> dict[str, int]:
        """What keeps the checkpoint's own image processor from changing sizes that are `pixels.fitted`."""
        smallest = MIN_IMAGE_TOKENS * self.patch_pixels**2
        return {"min_pixels": smallest, "max_pixels": max(max_pixels, smallest)}

    def version(self) -> str:
        """Tells these weights from others: a digest of samples of the weight files, 12 characters."""
        digest = sha256()
        for file in sorted(self.path.glob("*.safetensors")):
            size = file.stat().st_size
            digest.update(f"{file.name}:{size}".encode())
            with file.open("rb") as weights:
                for part in range(SAMPLES):
                    weights.seek(size * part // SAMPLES)
                    digest.update(weights.read(SAMPLE_BYTES))
        return digest.hexdigest()[:12]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of all weights by their names inside the model (`name_in_model`).

        Raises `CheckpointError` where a file is damaged or not all there.
        """
        found: dict[str, tuple[int, ...]] = {}
        for file in self.path.glob("*.safetensors"):
            try:
                with safe_open(file, framework="numpy") as weights:
                    for key in weights.keys():  # noqa: SIM118  it is no mapping
                        found[name_in_model(key)] = tuple(weights.get_slice(key).get_shape())
            except (OSError, SafetensorError) as error:
                raise CheckpointError(f"{file} cannot be read: {error}; copy it again") from error
        if self.config.tie_word_embeddings:
            found.pop("lm_head.weight", None)  # some write the embeddings twice
        return found

    def successor(self, name_or_path: str, shapes: Mapping[str, tuple[int, ...]]) -> Checkpoint:
        """Another checkpoint whose weights can take the place of these, which have ``shapes``.

        Raises `CheckpointError` while nothing is loaded yet.
        """
        other = Checkpoint.open(name_or_path)
        if other.config != self.config:
            raise CheckpointError(f"{other.path} has another architecture or other sizes than {self.path}")
        if differing := [name for name, _ in shapes.items() ^ other.shapes().items()]:
            raise CheckpointError(
                f"{other.path} has other weights than {self.path}: {', '.join(sorted(set(differing))[:5])}"
            )
        return other

    def weight_bytes(self) -> int:
        """Size of the weight files."""
        return sum(file.stat().st_size for file in self.path.glob("*.safetensors"))


def name_in_model(key: str) -> str:
    """A weight's name from the layer on, without what libraries and their versions put before it."""
    starts = [at for part in ("visual.", "layers.") if (at := key.find(part)) >= 0]
    return key[min(starts, default=0) :]


def locate(name_or_path: str) -> Path:
    """The folder of a checkpoint or adapter. A name that is no folder is fetched from the model hub."""
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return path
    if path.is_absolute() or name_or_path.count("/") != 1 or name_or_path.startswith("."):
        raise CheckpointError(f"{name_or_path}: no such folder, and no name of the form owner/model")
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError
    except ModuleNotFoundError as error:
        raise CheckpointError(
            f"{name_or_path}: fetching a model by name needs the extra `vllm` or `train`, or give a folder"
        ) from error
    try:
        return Path(snapshot_download(name_or_path))
    except RepositoryNotFoundError as error:
        raise CheckpointError(
            f"{name_or_path}: the model hub has no such model, or it needs HF_TOKEN"
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise CheckpointError(f"{name_or_path}: cannot be fetched from the model hub: {error}") from error


def _config(path: Path) -> ModelConfig:
    try:
        config = ModelConfig.read(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, ValidationError) as error:
        raise CheckpointError(f"{path} cannot be used: {error}") from error
    if ARCHITECTURE not in config.architectures:
        found = ", ".join(config.architectures) or "no architecture"
        raise CheckpointError(f"{path} says {found}; this engine runs {ARCHITECTURE}")
    return config


def _tokenizer(path: Path) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises this very class for any bad file
        raise CheckpointError(f"{path} is no tokenizer: {error}") from error
    # Text is text: "<|im_end|>" in a message is spelled out and never becomes the token.
    tokenizer.encode_special_tokens = True
    return tokenizer
