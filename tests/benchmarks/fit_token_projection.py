"""Fit the directions that token vectors are reduced to. `python -m tests.benchmarks.fit_token_projection`

The token vectors of planted conversations, each scaled to length 1, are decomposed by their principal
directions about the origin: the projection that keeps most of their products. What it keeps is printed;
``locomo.py`` says what it costs.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from personavlm.platform.encoders.minilm import PROJECTION, MiniLmEncoder
from tests.benchmarks.planted.chats import chats
from tests.benchmarks.planted.friends import friends

CONVERSATIONS = 6  # of each sort


def texts() -> Iterator[str]:
    """Every message and question of some planted conversations, each once."""
    found: dict[str, None] = {}
    for seed in range(CONVERSATIONS):
        for conversation in (friends(seed), chats(seed)):
            found |= dict.fromkeys(message.text for message in conversation.messages)
            found |= dict.fromkeys(question.text for question in conversation.questions)
    return iter(found)


def moments(encoder: MiniLmEncoder) -> NDArray[np.float64]:
    """``(dim, dim)``: the mean product of the tokens' unit vectors with themselves."""
    total, count = np.zeros((encoder.dim, encoder.dim)), 0
    for tokens in encoder.raw_tokens(list(texts())):
        unit = tokens / np.linalg.norm(tokens, axis=1, keepdims=True)
        total += unit.T @ unit
        count += len(unit)
    return total / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dim", type=int, default=96)
    parser.add_argument("--out", type=Path, default=PROJECTION)
    options = parser.parse_args()
    values, directions = np.linalg.eigh(moments(MiniLmEncoder()))
    chosen = directions[:, ::-1][:, : options.dim]
    kept = values[::-1][: options.dim].sum() / values.sum()
    np.save(options.out, chosen.astype(np.float16))
    print(f"{options.dim} of {len(values)} directions keep {kept:.3f} of the squares")


if __name__ == "__main__":
    main()
