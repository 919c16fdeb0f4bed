"""PEM, the personality evolving mechanism: a profile that moves a little with every turn.

The profile ``p`` is blended with the scores ``p'`` read from one turn, ``p <- λ p + (1 - λ) p'``. The
smoothing λ rises with the number of turns seen, from 0.5 to 0.9, so that a new user's profile settles
quickly and a known user's profile changes slowly.
"""

import math
from collections.abc import Sequence
from typing import Literal, cast

from personavlm.memory_store.records import NEUTRAL, TRAITS

Traits = tuple[float, float, float, float, float]
SkipRule = Literal["all_neutral", "per_trait"]

SETTLED_AFTER = 50  # turns from which λ stays at its largest


def smoothing(turns_before: int) -> float:
    """λ for a turn that follows ``turns_before`` others: 0.5 at 0, 0.7 at 25, 0.9 from 50 on."""
    return 0.7 - 0.2 * math.cos(math.pi * min(turns_before, SETTLED_AFTER) / SETTLED_AFTER)


def blend(
    traits: Traits, inferred: Sequence[int], turns_before: int, rule: SkipRule = "all_neutral"
) -> Traits | None:
    """The next profile, or ``None`` where the turn says nothing (all five scores neutral).

    ``all_neutral``, the paper's rule, lets a neutral score pull its trait back to the middle as long as
    another score is not neutral. ``per_trait``, the rule of the released code, leaves that trait alone.
    """
    if len(inferred) != len(TRAITS):
        raise ValueError(f"expected {len(TRAITS)} scores, got {len(inferred)}")
    if all(score == NEUTRAL for score in inferred):
        return None
    keep = smoothing(turns_before)
    moved = tuple(
        trait if rule == "per_trait" and score == NEUTRAL else keep * trait + (1 - keep) * score
        for trait, score in zip(traits, inferred, strict=True)
    )
    return cast(Traits, moved)
