"""Rendezvous hashing: who is asked first, the same everywhere, with nothing to keep or to agree on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def preference(key: str, names: Iterable[str]) -> list[str]:
    """The names in the order that the key gives them. Without one of them, the rest keep their order.

    Thaler and Ravishankar, "Using name-based mappings to increase hit rates", IEEE/ACM ToN 6(1), 1998.
    """

    def weight(name: str) -> bytes:
        return hashlib.blake2b(f"{name}\0{key}".encode(), digest_size=8).digest()

    return sorted(names, key=weight, reverse=True)
