"""Conversations as the ids that serving would give them, with a mask of what is learned from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from personavlm.jobs.data.image_files import image_bytes
from personavlm.jobs.data.rows import ConversationRow, RowTurn
from personavlm.jobs.images import ImageFolder
from personavlm.jobs.trajectories import Example
from personavlm.platform.engines.chatml import DEFAULT_SYSTEM, ChatMl
from personavlm.platform.engines.checkpoint import Checkpoint


def examples(
    rows: Iterable[ConversationRow], checkpoint: Checkpoint, images: ImageFolder
) -> Iterator[Example]:
    """One example for each row; its images go to the folder. Raises `DataError` for an unreadable image.

    The mask is set for what a policy would have sampled in a message to train on: its text and the
    ``<|im_end|>`` behind it, not the header, not the line break after it.
    """
    return (_example(row, ChatMl(checkpoint), images) for row in rows)


def _example(row: ConversationRow, chat: ChatMl, folder: ImageFolder) -> Example:
    ids: list[int] = []
    mask: list[bool] = []
    images: list[str] = []
    for turn in _with_system(row.turns):
        if ids:
            _add(ids, mask, chat.text("\n"), False)
        head, body = chat.head(turn.role), _body(turn, chat)
        _add(ids, mask, head, False)
        _add(ids, mask, body, turn.train)
        images += (folder.add(image_bytes(image)) for image in turn.images)
    return Example(tuple(ids), tuple(mask), tuple(images))


def _add(ids: list[int], mask: list[bool], more: list[int], trained: bool) -> None:
    ids += more
    mask += [trained] * len(more)


def _with_system(turns: tuple[RowTurn, ...]) -> tuple[RowTurn, ...]:
    """Qwen's own system message goes first where there is none, as at serving."""
    return turns if turns[0].role == "system" else (RowTurn(role="system", text=DEFAULT_SYSTEM), *turns)


def _body(turn: RowTurn, chat: ChatMl) -> list[int]:
    """Text, images in their places, and the end of the message."""
    ids: list[int] = []
    start = 0
    for image in turn.images:
        ids += chat.text(turn.text[start : image.at]) + chat.image()
        start = image.at
    return [*ids, *chat.text(turn.text[start:]), chat.checkpoint.end]
