"""Checkpoints that cannot be used say which file is wrong and what helps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from personavlm.platform.engines.checkpoint import Checkpoint, name_in_model
from personavlm.platform.errors import CheckpointError
from tests.unit.platform.token_files import CONFIG, write_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_files(tmp_path / "tiny")


def test_a_complete_folder_is_read(folder: Path) -> None:
    checkpoint = Checkpoint.open(str(folder))
    assert checkpoint.patch_pixels == 28
    banned = checkpoint.banned()
    assert checkpoint.end not in banned and checkpoint.special["<|image_pad|>"] in banned
    size = checkpoint.tokenizer.get_vocab_size()
    assert set(range(size, 640)) <= set(banned)  # rows that only pad the vocabulary


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "preprocessor_config.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"lacks {name}; copy"):
        Checkpoint.open(str(folder))


def test_another_architecture_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(CONFIG | {"architectures": ["LlamaForCausalLM"]}))
    with pytest.raises(CheckpointError, match="LlamaForCausalLM; this engine runs Qwen2_5_VL"):
        Checkpoint.open(str(folder))


@pytest.mark.parametrize("content", ["{", "[]", '{"architectures": ["Qwen2_5_VLForConditionalGeneration"]}'])
def test_a_broken_configuration_is_refused(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        Checkpoint.open(str(folder))


def test_a_broken_tokenizer_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is no tokenizer"):
        Checkpoint.open(str(folder))


@pytest.mark.parametrize("name", ["/nowhere/at/all", "nowhere", "./owner/model"])
def test_what_is_no_folder_and_no_name_of_a_hub_is_refused(name: str) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        Checkpoint.open(name)


def test_a_context_that_the_model_does_not_have_is_refused(folder: Path) -> None:
    checkpoint = Checkpoint.open(str(folder))
    checkpoint.require_context(4096)
    with pytest.raises(CheckpointError, match=r"takes 4096 tokens; engine\.context_tokens asks for 4097"):
        checkpoint.require_context(4097)


def test_names_of_weights_are_the_same_in_every_library() -> None:
    names = (
        "model.language_model.layers.0.self_attn.q_proj.weight",
        "model.layers.0.self_attn.q_proj.weight",
        "base_model.model.model.language_model.layers.0.self_attn.q_proj.weight",
    )
    assert {name_in_model(name) for name in names} == {"layers.0.self_attn.q_proj.weight"}
    assert name_in_model("model.visual.blocks.1.attn.qkv.weight") == "visual.blocks.1.attn.qkv.weight"
