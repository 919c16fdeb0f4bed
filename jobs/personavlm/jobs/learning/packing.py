"""Which sequences are worked on side by side, and by which process. Needs no PyTorch."""

from __future__ import annotations

from collections.abc import Sequence


def deal(lengths: Sequence[int], world: int, pack_tokens: int) -> list[list[list[int]]]:
    """For each process its packs, for each pack the indexes of its sequences.

    A pack holds at most ``pack_tokens`` tokens. Sequences of like length share one, so that little is padded
    where attention needs rows of one length. All processes get the same number of packs, since they work in
    lockstep; where packs run out some are empty. Raises `ValueError` for a sequence longer than a pack.
    """
    if lengths and max(lengths) > pack_tokens:
        raise ValueError(f"a sequence of {max(lengths)} tokens is longer than a pack of {pack_tokens}")
    # Smaller packs where otherwise a process would have nothing to do.
    room = min(pack_tokens, max(-(-sum(lengths) // world), *lengths, 1))
    packs: list[list[int]] = []
    used = room
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if used + lengths[index] > room:
            packs.append([])
            used = 0
        packs[-1].append(index)
        used += lengths[index]
    rounds = max(1, -(-len(packs) // world))
    packs += [[] for _ in range(rounds * world - len(packs))]
    return [packs[rank::world] for rank in range(world)]
