"""Loader of our own format: one history in one JSON file, images relative to it."""

from pathlib import Path

from personavlm.platform.histories.format import (
    History,
    HistoryError,
    build_history,
    read_json,
    resolve_image,
)


def load_personavlm(path: Path, question_file: Path | None = None) -> list[History]:
    """Read one history; ``question_file`` is a JSON list of questions in place of those in the file."""
    fields = read_json(path)
    if not isinstance(fields, dict):
        raise HistoryError(path, "", "is not a JSON object", "Give one history with user and turns.")
    if question_file is not None:
        fields = {**fields, "questions": read_json(question_file)}
    for name in ("turns", "questions"):
        _resolve_images(path, fields.get(name, []), name)
    return [build_history(path, fields)]


def _resolve_images(path: Path, owners: object, name: str) -> None:
    """Make the image paths of well-formed records absolute; validation reports the others."""
    if not isinstance(owners, list):
        return
    for index, owner in enumerate(owners):
        images = owner.get("images", []) if isinstance(owner, dict) else []
        for number, image in enumerate(images if isinstance(images, list) else []):
            if isinstance(image, dict) and isinstance(image.get("path"), str):
                field = f"{name}.{index}.images.{number}.path"
                image["path"] = resolve_image(path, field, image["path"], [path.parent])
