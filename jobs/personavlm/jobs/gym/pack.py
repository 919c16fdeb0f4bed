"""The gym's wording of the prompts: terse, so that a small model reads few words."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from personavlm.platform.prompts.checking import read_pack
from personavlm.platform.prompts.render import PromptPack

FOLDER = Path(__file__).parent / "templates"
"""Given as ``prompts:`` in a configuration it serves a policy trained here."""


@cache
def gym_pack() -> PromptPack:
    """The pack."""
    return read_pack(FOLDER, "transformers")
