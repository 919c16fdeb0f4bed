"""Sizes of a small policy, and the start that it is given. Needs no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Network:
    """Sizes of the network. ``theta`` is the base of the rotary embedding."""

    hidden: int = 64
    layers: int = 2
    heads: int = 4
    key_value_heads: int = 2
    feed_forward: int = 192
    theta: float = 1e6
    initial: float = 0.1
    vision_hidden: int = 64
    vision_layers: int = 2


@dataclass(frozen=True, slots=True)
class Binding:
    """How strong each part of the start is; 0, 0, 1 and 1 leave the random weights as they are.

    ``previous``: biases of layer 0's first head that make it attend to the word before. ``same``: in layer 1,
    as many times their keys' weights are the queries' of the first ``same_heads`` heads, which so attend to
    places alike. ``embeddings`` and ``branches`` scale the embeddings and what each layer adds to them.
    """

    previous: float = 6.0
    same: float = 2.0
    same_heads: int = 2
    embeddings: float = 3.0
    branches: float = 0.3


SMALL = Network()
BOUND = Binding()
