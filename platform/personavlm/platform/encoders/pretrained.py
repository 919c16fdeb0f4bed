"""Models through transformers: loaded when they are asked for, with errors that say what to do.

Torch and transformers come with the extra `train`; nothing here imports them before a model is wanted.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from PIL import Image, ImageOps

from personavlm.platform.errors import WeightsError

Loaded = TypeVar("Loaded")


ENCODER, DETECTOR = "images.encoder.model", "images.detector.model"  # fields of the configuration


def load_pretrained(field: str, model: str, load: Callable[[str, bool], Loaded]) -> Loaded:
    """``load(name, local_files_only)`` for a folder or a name at the model hub; ``field`` is of the config.

    Of a folder nothing is fetched. Raises `WeightsError` where the extra or the model is missing.
    """
    folder = require_model(field, model)
    try:
        return load(str(folder or model), folder is not None)
    except (OSError, ValueError, KeyError) as error:  # what transformers raises for files that it cannot use
        raise WeightsError(f"{field}: {model} cannot be loaded: {error}") from error


def require_model(field: str, model: str) -> Path | None:
    """The model's folder, None for a name at the hub. `WeightsError` where extra or folder is missing."""
    missing = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
    if missing:
        raise WeightsError(
            f"{field}: {' and '.join(missing)} not installed; install the extra `train`: "
            "pip install 'personavlm[train]'"
        )
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_absolute() or model.startswith("."):
        raise WeightsError(
            f"{field}: there is no folder {folder}; give one with a checkpoint, or a hub's name"
        )
    return None


def upright(image: bytes) -> Image.Image:
    """The decoded image in RGB, turned as its camera was held, on white where transparent. ValueError."""
    try:
        with Image.open(io.BytesIO(image)) as opened:
            turned = ImageOps.exif_transpose(opened).convert("RGBA")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"not a whole image: {error}") from error
    return Image.alpha_composite(Image.new("RGBA", turned.size, "white"), turned).convert("RGB")
