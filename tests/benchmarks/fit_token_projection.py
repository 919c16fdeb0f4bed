"""Fit the directions that token vectors are reduced to. `python -m tests.benchmarks.fit_token_projection`

The token vectors of planted conversations, each scaled to length 1, are decomposed by their principal
directions about the origin: the projection that keeps most of their products. What it keeps is printed;
``locomo.py`` says what it costs.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dim", type=int, default=96)
    parser.add_argument("--out", type=Path, default=PROJECTION)
    options = parser.parse_args()
    moments, count = MiniLmEncoder().token_moments(list(texts()))
    values, directions = np.linalg.eigh(moments.astype(np.float64) / count)
    chosen = directions[:, ::-1][:, : options.dim]
    kept = values[::-1][: options.dim].sum() / values.sum()
    np.save(options.out, chosen.astype(np.float16))
    print(f"{options.dim} of {len(values)} directions keep {kept:.3f} of the squares")


if __name__ == "__main__":
    main()
